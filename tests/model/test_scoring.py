"""A network's scores of the photos of a manifest."""

import keras
import numpy as np
import pandas as pd

from include.model.fitting import score
from include.model.network import build_network
from include.model.pixels import Pixels


def test_scores_come_in_the_order_of_the_manifest():
    photos = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    manifest = pd.DataFrame({"kind": "cats", "label": "cat", "weight": 1.0}, index=range(5))
    pixels = Pixels([photos], np.stack([np.zeros(5, int), np.arange(5)], axis=1), 32)
    keras.utils.set_random_seed(0)
    network = build_network(image_size=32, filters=(16, 16, 16, 16))
    scores = score(network, pixels, manifest)
    assert scores.shape == (5, 4)
    assert len(set(scores[:, 0])) == 5
    turned = Pixels(pixels.shards, pixels.places[::-1], 32)
    np.testing.assert_allclose(score(network, turned, manifest), scores[::-1], rtol=1e-4)
