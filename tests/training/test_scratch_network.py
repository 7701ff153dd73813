"""The network that learns from nothing: its shape, its learning rate, and that it survives saving."""

from pathlib import Path

import keras
import numpy as np
import pytest

from include.training.losses import HEAD, POOL
from include.training.safe_keras import load_network
from include.training.scratch_network import build_network, compile_network


@pytest.mark.parametrize("size", [96, 128])
def test_it_takes_uint8_pixels_and_gives_a_logit_for_each_class(size: int) -> None:
    keras.utils.set_random_seed(0)
    network = build_network(image_size=size)
    photos = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    assert network.input_shape == (None, size, size, 3)
    assert network.inputs[0].dtype == "uint8"
    logits = np.asarray(network(photos, training=False))
    assert logits.shape == (3, 4)
    assert logits.dtype == np.float32
    assert not np.allclose(logits[0], logits[1])
    np.testing.assert_allclose(
        network(photos[:1], training=False)[0], logits[0], atol=1e-4
    )  # the batch does not matter


def test_the_network_is_small_and_holds_no_code_of_its_own() -> None:
    network = build_network(image_size=96)
    assert network.count_params() < 1_000_000
    assert {layer.__class__.__module__.split(".")[0] for layer in network.layers} == {"keras"}
    assert not [layer for layer in network.layers if isinstance(layer, keras.layers.Lambda)]


def test_it_ends_in_a_mean_over_places_and_a_linear_layer_for_explanations() -> None:
    network = build_network(image_size=96)
    names = [layer.name for layer in network.layers]
    assert names[-1] == HEAD
    assert names[-3] == POOL
    assert network.get_layer(POOL).input.shape[1:3] == (3, 3)
    assert network.get_layer(HEAD).activation is keras.activations.linear


def test_a_saved_network_answers_as_before(tmp_path: Path) -> None:
    network, rng = build_network(image_size=32), np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 0.3, weight.shape) for weight in network.get_weights()])
    compile_network(network, learning_rate=0.01, steps=4, positive=[0])
    network.save(tmp_path / "network.keras")
    loaded = load_network(str(tmp_path / "network.keras"))
    photos = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(loaded(photos, training=False), network(photos, training=False))
    assert not loaded.compiled  # for inference only: no optimizer comes with it


def test_the_learning_rate_rises_and_falls() -> None:
    network = build_network(image_size=32)
    compile_network(network, learning_rate=0.01, steps=100, positive=[0], warm_up=0.1)

    def rate_at(step: int) -> float:
        network.optimizer.iterations.assign(step)
        return float(network.optimizer.learning_rate)

    rates = [rate_at(step) for step in (0, 5, 10, 55, 100)]
    assert rates == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-6)
