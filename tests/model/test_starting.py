"""What a training begins with, and that it follows from the lake alone."""

import keras
import numpy as np
import pytest

from include.data.features import EXTRACTOR
from include.lake import layout
from include.model.hyperparameters import Hyperparameters
from include.model.network import FEATURES, build_network
from include.model.starting import RANDOM, build, starting_point
from include.settings import Settings

CHOSEN = Hyperparameters(learning_rate=0.001)


def keep_extractor(lake, path, *, seed: int) -> list[np.ndarray]:
    """An extractor that learned nothing, in the lake; returns its weights."""
    keras.utils.set_random_seed(seed)
    network = build_network(image_size=64)
    features = keras.Model(network.input, network.get_layer(FEATURES).output)
    features.save(path)
    lake.write(layout.extractor(EXTRACTOR), path.read_bytes())
    return features.get_weights()


def test_a_lake_without_an_extractor_begins_at_random(lake):
    assert starting_point(lake, Settings()) == RANDOM


def test_a_network_begins_with_the_weights_of_the_extractor_and_a_head_of_its_own(lake, tmp_path):
    learned = keep_extractor(lake, tmp_path / "extractor.keras", seed=5)
    network = build(Settings(image_size=32), CHOSEN)  # another size of photos, the same shape
    head = network.get_weights()[len(learned) :]
    starting_point(lake, Settings()).load(network)
    for mine, expected in zip(network.get_weights(), [*learned, *head], strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_a_network_of_another_shape_keeps_its_own_weights(lake, tmp_path):
    keep_extractor(lake, tmp_path / "extractor.keras", seed=5)
    network = build(Settings(), Hyperparameters(learning_rate=0.001, filters=(4, 4), blocks=(1, 1)))
    before = network.get_weights()
    starting_point(lake, Settings()).load(network)
    for mine, expected in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("seeds", [(5, 5), (5, 6)])
def test_another_extractor_is_another_start(lake, tmp_path, seeds):
    names = []
    for seed in seeds:
        keep_extractor(lake, tmp_path / "extractor.keras", seed=seed)
        stored = lake.read(layout.extractor(EXTRACTOR))
        names.append((starting_point(lake, Settings()).name, stored))
    assert (names[0][0] == names[1][0]) == (names[0][1] == names[1][1])
