"""The Jinja environment of all templates. Values in HTML are escaped, and undefined names raise UndefinedError."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=lambda name: str(name).endswith(".html.j2"),
    trim_blocks=True,
    undefined=StrictUndefined,
)
