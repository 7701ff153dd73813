import keras
import numpy as np
import pytest

from include.records import CAT, CLASSES, SOURCES
from include.training.losses import HEAD, POOL, PositiveAveragePrecision, partial_label_loss
from include.training.safe_keras import load_network
from include.training.scratch_network import build_network, compile_network

SHARES = np.array([0.5, 0.2, 0.2, 0.1])  # of cats, dogs, selfies, misc
LOGITS = np.log(SHARES).astype(np.float32)  # what a softmax turns into those shares
NOT_CAT = [0, 1, 1, 1]


def loss_of(allowed, logits=LOGITS) -> float:
    return float(partial_label_loss(np.array([allowed], np.float32), np.array([logits], np.float32))[0])


def gradient_of(allowed, logits=LOGITS) -> np.ndarray:
    import tensorflow as tf

    given = tf.constant([logits], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = partial_label_loss(tf.constant([allowed], tf.float32), given)
    return tape.gradient(loss, given).numpy()[0]


def test_cats_are_the_first_kind():
    assert SOURCES[CAT] == "cats"
    assert len(SOURCES) == CLASSES


@pytest.mark.parametrize(
    ("allowed", "probability"),
    [
        ([1, 0, 0, 0], 0.5),
        ([0, 0, 0, 1], 0.1),
        (NOT_CAT, 0.5),
        ([0, 1, 1, 0], 0.4),
        ([1, 0, 0, 1], 0.6),
        ([1, 1, 1, 1], 1.0),
    ],
)
def test_the_loss_is_minus_log_of_what_the_label_allows(allowed, probability):
    assert loss_of(allowed) == pytest.approx(-np.log(probability), abs=1e-6)
    assert loss_of(allowed, LOGITS + 7) == pytest.approx(-np.log(probability), abs=1e-5)  # only differences count


def test_one_allowed_kind_is_cross_entropy():
    logits = np.random.default_rng(0).normal(0, 3, (50, CLASSES)).astype(np.float32)
    kinds = np.eye(CLASSES, dtype=np.float32)[np.arange(50) % CLASSES]
    expected = keras.losses.categorical_crossentropy(kinds, logits, from_logits=True)
    np.testing.assert_allclose(partial_label_loss(kinds, logits), expected, rtol=1e-4, atol=1e-5)


def test_not_a_cat_pulls_each_other_kind_by_its_share():
    np.testing.assert_allclose(gradient_of([1, 0, 0, 0]), [-0.5, 0.2, 0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(gradient_of(NOT_CAT), [0.5, -0.2, -0.2, -0.1], atol=1e-6)


@pytest.mark.parametrize("allowed", [[1, 0, 0, 0], NOT_CAT, [1, 1, 1, 1]])
@pytest.mark.parametrize("logits", [[200, -200, -200, -200], [-200, 200, 200, 200], [0, 0, 0, 0], [1e4, 0, 0, -1e4]])
def test_sure_and_wrong_networks_still_have_a_finite_gradient(allowed, logits):
    assert np.isfinite(loss_of(allowed, logits))
    assert np.isfinite(gradient_of(allowed, logits)).all()


@pytest.mark.parametrize("size", [96, 128])
def test_takes_bytes_of_pixels_and_answers_with_a_logit_per_kind(size):
    keras.utils.set_random_seed(0)
    network = build_network(image_size=size)
    photos = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    assert network.input_shape == (None, size, size, 3)
    assert network.inputs[0].dtype == "uint8"
    logits = np.asarray(network(photos, training=False))
    assert logits.shape == (3, 4)
    assert logits.dtype == np.float32
    assert not np.allclose(logits[0], logits[1])
    np.testing.assert_allclose(network(photos[:1], training=False)[0], logits[0], atol=1e-4)  # company changes nothing


def test_the_network_is_small_and_holds_no_code_of_its_own():
    network = build_network(image_size=96)
    assert network.count_params() < 1_000_000
    assert {layer.__class__.__module__.split(".")[0] for layer in network.layers} == {"keras"}
    assert not [layer for layer in network.layers if isinstance(layer, keras.layers.Lambda)]


def test_it_ends_in_a_mean_over_places_and_a_linear_layer_as_explanations_need():
    network = build_network(image_size=96)
    names = [layer.name for layer in network.layers]
    assert names[-1] == HEAD
    assert names[-3] == POOL
    assert network.get_layer(POOL).input.shape[1:3] == (3, 3)
    assert network.get_layer(HEAD).activation is keras.activations.linear


def test_a_saved_network_answers_as_before(tmp_path):
    network, rng = build_network(image_size=32), np.random.default_rng(0)
    network.set_weights([rng.uniform(0.1, 0.3, weight.shape) for weight in network.get_weights()])
    compile_network(network, learning_rate=0.01, steps=4)
    network.save(tmp_path / "network.keras")
    again = load_network(str(tmp_path / "network.keras"))
    photos = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(again(photos, training=False), network(photos, training=False))
    assert not again.compiled  # for inference only: no optimizer comes with it


def test_the_learning_rate_rises_and_falls():
    network = build_network(image_size=32)
    compile_network(network, learning_rate=0.01, steps=100, warm_up=0.1)

    def rate_at(step: int) -> float:
        network.optimizer.iterations.assign(step)
        return float(network.optimizer.learning_rate)

    rates = [rate_at(step) for step in (0, 5, 10, 55, 100)]
    assert rates == pytest.approx([0, 0.005, 0.01, 0.005, 0], abs=1e-6)


def test_average_precision_looks_at_the_cats_alone():
    metric = PositiveAveragePrecision()
    kinds = np.eye(4, dtype=np.float32)
    logits = np.array([[3, 0, 0, 0], [1, 0, 9, 0], [1, 9, 0, 0], [1, 9, 0, 0]], np.float32)  # dogs and misc mixed up
    metric.update_state(kinds, logits)
    assert float(metric.result()) == pytest.approx(1, abs=0.01)
    metric.reset_state()
    metric.update_state(kinds, -logits)  # the only cat comes last of four
    assert float(metric.result()) < 0.3
