"""What a manifest's photos may be, and their features beside it."""

import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.dataset.examples import allowed_classes, load_examples
from include.lake import layout
from include.records import SOURCES


@pytest.fixture
def manifest() -> pd.DataFrame:
    """A base photo of each source between two uploads, whose kind nobody knows."""
    keys = [layout.base(source, f"{number:064x}") for number, source in enumerate(SOURCES)]
    return pd.DataFrame(
        {
            "key": [layout.upload_photo("one"), *keys, layout.upload_photo("two")],
            "class_name": ["unknown", *SOURCES, "unknown"],
            "label": ["not_cat", "cat", "not_cat", "not_cat", "not_cat", "cat"],
            "weight": [0.5, 1, 1, 1, 1, 0.25],
        }
    )


def test_a_known_kind_is_the_only_one_allowed_and_of_an_unknown_one_the_label_decides(manifest):
    allowed = allowed_classes(manifest)
    np.testing.assert_array_equal(allowed, [[0, 1, 1, 1], *np.eye(4), [1, 0, 0, 0]])
    assert allowed.dtype == np.float32


def test_a_cleared_photo_may_have_any_index(manifest):
    np.testing.assert_array_equal(allowed_classes(manifest[3:]), allowed_classes(manifest)[3:])


def test_examples_are_the_features_of_the_manifest_in_its_order(lake, tmp_path, manifest):
    vectors = np.random.default_rng(0).random((6, FEATURES)).astype(np.float16)
    write_embeddings(lake, list(manifest["key"]), vectors)
    turned = np.array([5, 3, 0, 1, 2, 4])
    examples = load_examples(lake, manifest.iloc[turned], tmp_path / "cache")
    assert len(examples) == 6
    np.testing.assert_array_equal(examples.features, vectors[turned])
    np.testing.assert_array_equal(examples.allowed, allowed_classes(manifest)[turned])
    np.testing.assert_array_equal(examples.weights, np.array([0.25, 1, 0.5, 1, 1, 1], np.float32))


@pytest.mark.parametrize("rows", [np.array([4, 1]), np.array([False, True, False, False, True, False])])
def test_some_examples_stay_together_with_what_belongs_to_them(lake, tmp_path, manifest, rows):
    vectors = np.random.default_rng(0).random((6, FEATURES)).astype(np.float16)
    write_embeddings(lake, list(manifest["key"]), vectors)
    part = load_examples(lake, manifest, tmp_path / "cache").take(rows)
    assert len(part) == 2
    np.testing.assert_array_equal(part.features, vectors[rows])
    np.testing.assert_array_equal(part.allowed, allowed_classes(manifest)[rows])
