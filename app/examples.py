"""Drawn photos to try the app with, where nobody has a photo at hand."""

import random
from collections.abc import Iterable

from include.images.synthetic import DRAWERS, draw_photo

NAMES = {"cats": "Cat", "dogs": "Dog", "selfies": "Face", "misc": "Thing"}


def draw_examples(sources: Iterable[str]) -> dict[str, bytes]:
    """A JPEG for each of the sources that can be drawn, by its name."""
    drawable = [source for source in sources if source in DRAWERS]
    return {NAMES[source]: draw_photo(source, random.Random(f"app/{source}")) for source in drawable}
