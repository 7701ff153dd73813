"""A network as one graph."""

import keras
import numpy as np

from include.model.network import build_network
from include.model.scoring import as_graph


def test_one_graph_answers_any_number_of_photos_as_the_network_does():
    keras.utils.set_random_seed(2)
    network = build_network(image_size=32, filters=(4, 4, 4, 4))
    photos = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)
    scorer = as_graph(network)
    for some in (photos[:1], photos):
        np.testing.assert_allclose(scorer(some), np.asarray(network(some, training=False)), atol=1e-5)
