"""The question that the benches ask: the default one, on cats, dogs, selfies and other photos."""

from include.question import Question

QUESTION = Question()
SOURCES = QUESTION.sources
