"""The classes that a manifest's photos may have, and their embeddings beside them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.dataset.examples import allowed_classes, load_examples
from include.lake import layout
from include.lake.local import LocalStore
from tests.pictures import QUESTION


@pytest.fixture
def manifest() -> pd.DataFrame:
    """A base photo of each source between two uploads, whose class nobody knows."""
    keys = [layout.base(source, f"{number:064x}") for number, source in enumerate(QUESTION.sources)]
    return pd.DataFrame(
        {
            "key": [layout.upload_photo("one"), *keys, layout.upload_photo("two")],
            "class_name": ["unknown", *QUESTION.sources, "unknown"],
            "label": ["negative", "positive", "negative", "negative", "negative", "positive"],
            "weight": [0.5, 1, 1, 1, 1, 0.25],
        }
    )


def test_a_known_class_is_the_only_one_allowed_and_of_an_unknown_one_the_label_decides(manifest: pd.DataFrame) -> None:
    allowed = allowed_classes(manifest, QUESTION)
    np.testing.assert_array_equal(allowed, [[0, 1, 1, 1], *np.eye(4), [1, 0, 0, 0]])
    assert allowed.dtype == np.float32


def test_a_manifest_may_have_any_index(manifest: pd.DataFrame) -> None:
    np.testing.assert_array_equal(allowed_classes(manifest[3:], QUESTION), allowed_classes(manifest, QUESTION)[3:])


def test_examples_are_the_embeddings_of_the_manifest_in_its_order(
    lake: LocalStore, tmp_path: Path, manifest: pd.DataFrame
) -> None:
    vectors = np.random.default_rng(0).random((6, FEATURES)).astype(np.float16)
    write_embeddings(lake, list(manifest["key"]), vectors)
    order = np.array([5, 3, 0, 1, 2, 4])
    examples = load_examples(lake, manifest.iloc[order], QUESTION, tmp_path / "cache")
    assert len(examples) == 6
    np.testing.assert_array_equal(examples.embeddings, vectors[order])
    np.testing.assert_array_equal(examples.allowed, allowed_classes(manifest, QUESTION)[order])
    np.testing.assert_array_equal(examples.weights, np.array([0.25, 1, 0.5, 1, 1, 1], np.float32))


@pytest.mark.parametrize("rows", [np.array([4, 1]), np.array([False, True, False, False, True, False])])
def test_some_examples_stay_together_with_what_belongs_to_them(
    lake: LocalStore, tmp_path: Path, manifest: pd.DataFrame, rows: np.ndarray
) -> None:
    vectors = np.random.default_rng(0).random((6, FEATURES)).astype(np.float16)
    write_embeddings(lake, list(manifest["key"]), vectors)
    part = load_examples(lake, manifest, QUESTION, tmp_path / "cache").take(rows)
    assert len(part) == 2
    np.testing.assert_array_equal(part.embeddings, vectors[rows])
    np.testing.assert_array_equal(part.allowed, allowed_classes(manifest, QUESTION)[rows])
