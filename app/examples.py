"""Drawn photos to try the app with, where nobody has a photo at hand."""

import random

from include.images.synthetic import DRAWERS, draw_photo
from include.question import Question

NAMES = {"cats": "Cat", "dogs": "Dog", "selfies": "Face", "misc": "Thing"}


def draw_examples(question: Question) -> dict[str, bytes]:
    """A JPEG for each source of the question that can be drawn, by its name."""
    return {
        NAMES[source]: draw_photo(source, random.Random(f"app/{source}"))
        for source in question.sources
        if source in DRAWERS
    }
