"""The templates of all pages that people look at: what they have in common stands in `templates/page.html.j2`."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader

PAGES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True)
