"""The one environment that every page for people is rendered in."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=lambda name: str(name).endswith(".html.j2"),
    trim_blocks=True,
    undefined=StrictUndefined,
)
