"""A network's scores of the photos of a manifest."""

import keras
import numpy as np
import pandas as pd

from include.training.fit import score
from include.training.scratch_network import build_network
from tests.models import as_pixels


def test_scores_come_in_the_order_of_the_manifest():
    photos = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    manifest = pd.DataFrame({"class_name": "cats", "label": "cat", "weight": 1.0}, index=range(5))
    pixels = as_pixels(photos)
    keras.utils.set_random_seed(0)
    network = build_network(image_size=32, filters=(16, 16, 16, 16))
    scores = score(network, pixels, manifest)
    assert scores.shape == (5, 4)
    assert len(set(scores[:, 0])) == 5
    turned = as_pixels(photos[::-1])
    np.testing.assert_allclose(score(network, turned, manifest), scores[::-1], rtol=1e-4)
