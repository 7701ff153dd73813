"""The backbone against an independent computation, on real photographs, and its promise of equal vectors."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_sample_image

from include import backbone as version
from include.backbone import FEATURES, SIZE, weights
from include.backbone.architecture import assign_weights, build_backbone
from include.backbone.features import BATCH, _backbone, features, freeze
from include.backbone.weights import Weights, load_weights
from include.errors import BackboneError
from include.images import decoding
from include.images.decoding import to_pixels
from include.settings import ROOT

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)  # of the 16 blocks
BELL_COTE, PALACE, DAISY = 442, 698, 985  # classes of ImageNet


def noise(count: int) -> np.ndarray:
    """Random pictures of coarse and fine detail, and of different contrast."""
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 256, (count, 7, 7, 3)).repeat(32, axis=1).repeat(32, axis=2)
    fine = rng.normal(0, 1, (count, SIZE, SIZE, 3)) * rng.uniform(0, 60, (count, 1, 1, 1))
    return np.clip(coarse + fine, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def learned() -> Weights:
    return load_weights()


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return noise(40)


@pytest.fixture(scope="module")
def vectors(photos: np.ndarray) -> np.ndarray:
    return features(photos)


class Plain:
    """EfficientNet-Lite0 as its authors have it, batch normalisation by itself, straight from the file's arrays."""

    def __init__(self, learned: Weights) -> None:
        self.learned = learned

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        x = self.convolve(photos.astype(np.float32) / 127.5 - 1, "_conv_stem", "_bn0", stride=2)
        for number, stride in enumerate(STRIDES):
            x = self.block(x, f"_blocks.{number}", stride)
        return np.asarray(self.convolve(x, "_conv_head", "_bn1"))

    def block(self, x: tf.Tensor, name: str, stride: int) -> tf.Tensor:
        y = x
        if f"{name}._expand_conv.weight" in self.learned:
            y = self.convolve(y, f"{name}._expand_conv", f"{name}._bn0")
        kernel = self.learned[f"{name}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
        y = tf.nn.depthwise_conv2d(y, kernel, (1, stride, stride, 1), "SAME")
        y = tf.nn.relu6(self.normalise(y, f"{name}._bn1"))
        y = self.convolve(y, f"{name}._project_conv", f"{name}._bn2", activate=False)
        return x + y if x.shape == y.shape else y

    def convolve(self, x: tf.Tensor, name: str, norm: str, *, stride: int = 1, activate: bool = True) -> tf.Tensor:
        kernel = self.learned[f"{name}.weight"].transpose(2, 3, 1, 0)
        x = self.normalise(tf.nn.conv2d(x, kernel, stride, "SAME"), norm)
        return tf.nn.relu6(x) if activate else x

    def normalise(self, x: tf.Tensor, name: str) -> tf.Tensor:
        scale, offset, mean, variance = (
            self.learned[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)


def test_the_network_computes_what_the_published_one_does(learned: Weights, photos: np.ndarray) -> None:
    network = build_backbone()
    assign_weights(network, learned)
    expected = Plain(learned)(photos[:4])
    assert expected.shape == (4, 7, 7, FEATURES)
    assert expected.std() > 0.1
    np.testing.assert_allclose(network.predict(photos[:4], verbose=0), expected, atol=1e-4)


def test_features_are_the_mean_of_the_last_feature_map(
    learned: Weights, photos: np.ndarray, vectors: np.ndarray
) -> None:
    expected = Plain(learned)(photos[:4]).mean(axis=(1, 2))
    assert vectors.shape == (40, FEATURES)
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors[:4], expected, rtol=1e-3, atol=1e-4)
    assert vectors.min() >= 0
    assert len(np.unique(vectors, axis=0)) == 40


def test_the_last_layer_in_the_file_knows_what_a_photograph_shows(learned: Weights) -> None:
    """A temple by a lake and a flower, which scikit-learn has among its examples."""
    pictures = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    vectors = features(np.stack([to_pixels(picture, SIZE) for picture in pictures]))
    logits = vectors.astype(np.float32) @ learned["_fc.weight"].T + learned["_fc.bias"]
    best = np.argsort(-logits, axis=1)[:, :5]
    assert {BELL_COTE, PALACE} <= set(best[0])
    assert best[1, 0] == DAISY


@pytest.mark.parametrize("size", [1, 3, BATCH, BATCH + 1])
def test_a_vector_does_not_depend_on_the_photos_beside_it(photos: np.ndarray, vectors: np.ndarray, size: int) -> None:
    parts = [features(photos[start : start + size]) for start in range(0, len(photos), size)]
    np.testing.assert_array_equal(np.concatenate(parts), vectors)
    np.testing.assert_array_equal(features(photos[::-1])[::-1], vectors)


ANOTHER_PROCESS = """
import sys, numpy
from include.backbone.features import features
numpy.save(sys.argv[2], features(numpy.load(sys.argv[1])))
"""


@pytest.mark.slow
def test_a_vector_does_not_depend_on_the_number_of_threads(
    photos: np.ndarray, vectors: np.ndarray, tmp_path: Path
) -> None:
    """In a process of its own, for TensorFlow takes its number of threads once."""
    given, found = tmp_path / "photos.npy", tmp_path / "vectors.npy"
    np.save(given, photos)
    single = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    subprocess.run([sys.executable, "-c", ANOTHER_PROCESS, given, found], cwd=ROOT, env=os.environ | single, check=True)
    np.testing.assert_array_equal(np.load(found), vectors)


def test_no_photos_have_no_features() -> None:
    assert features(np.zeros((0, SIZE, SIZE, 3), np.uint8)).shape == (0, FEATURES)


def test_a_frozen_graph_answers_any_number_of_photos_as_its_network_does() -> None:
    keras.utils.set_random_seed(2)
    photo = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Conv2D(5, 3)(keras.layers.Rescaling(1 / 255)(photo))
    network = keras.Model(photo, keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x)))
    pictures = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), np.uint8)
    graph = freeze(network)
    for part in (pictures[:1], pictures):
        np.testing.assert_allclose(graph(part), network(part, training=False), atol=1e-6)
    network.set_weights([np.zeros_like(values) for values in network.get_weights()])
    assert graph(pictures).any(), "its weights are constants"


def test_without_the_package_there_are_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "FILE", "nothing/here.pth")
    with pytest.raises(BackboneError, match="is missing"):
        _backbone.__wrapped__()  # past the cache


def version_of(source: str) -> str:
    names: dict[str, str] = {}
    exec(source, names)
    return names["VERSION"]


SOURCE = Path(version.__file__).read_text()


def test_the_version_is_that_of_the_code() -> None:
    assert version_of(SOURCE) == version.VERSION


@pytest.mark.parametrize(("line", "other"), [("SIZE = 224", "SIZE = 192"), ("GRAPH = 1", "GRAPH = 2")])
def test_another_size_or_form_of_the_graph_is_another_version(line: str, other: str) -> None:
    assert line in SOURCE
    assert version_of(SOURCE.replace(line, other)) != version.VERSION


@pytest.mark.parametrize(("module", "name", "other"), [(weights, "SHA256", "0" * 64), (decoding, "VERSION", 99)])
def test_other_weights_or_another_decoder_are_another_version(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, other: object
) -> None:
    monkeypatch.setattr(module, name, other)
    assert version_of(SOURCE) != version.VERSION
