"""Transfer from ImageNet weights, which here are random weights in files like Keras' own."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import mobilenet as keras_mobilenet
from keras.src.backend import config as keras_config
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from include.errors import BackboneError
from include.model.backbone import WEIGHTS_FILE, fit_head, load_backbone
from include.model.network import FEATURES, build_network

SIZE = 32


def write_weights(path: Path, *, alpha: float = 0.25) -> keras.Model:
    """A file such as Keras publishes; returns the backbone whose weights it holds."""
    keras.utils.set_random_seed(5)
    backbone = keras.applications.MobileNet(
        input_shape=(SIZE, SIZE, 3), alpha=alpha, include_top=False, weights=None, pooling="avg"
    )
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, keras.Model(backbone.input, backbone.layers[-2].output))
    return backbone


def photos(count: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> tuple[Path, keras.Model]:
    path = tmp_path_factory.mktemp("weights") / WEIGHTS_FILE
    return path, write_weights(path)


@pytest.fixture
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return build_network(image_size=SIZE, network="mobilenet")


def features_of(network: keras.Model, given: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(network.input, network.get_layer(FEATURES).output)(given, training=False))


def assert_learned(network: keras.Model, backbone: keras.Model) -> None:
    expected = backbone(photos().astype(np.float32) / 127.5 - 1, training=False)
    np.testing.assert_allclose(features_of(network, photos()), expected, rtol=1e-4, atol=1e-5)


def test_mobilenet_takes_bytes_of_pixels_and_answers_with_a_logit_per_kind(network):
    logits = np.asarray(network(photos(3), training=False))
    assert logits.shape == (3, 4)
    assert network.count_params() < 250_000


def test_a_file_gives_the_backbone_its_weights_and_leaves_the_head(network, published):
    path, backbone = published
    head = [weight.copy() for weight in network.get_weights()[-2:]]
    load_backbone(network, path)
    assert_learned(network, backbone)
    for mine, before in zip(network.get_weights()[-2:], head, strict=True):
        np.testing.assert_array_equal(mine, before)


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "wider"])
def test_a_file_that_does_not_help_is_named_with_the_cure(network, tmp_path, kind):
    path = tmp_path / "given.h5"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("no weights")
    elif kind == "wider":
        write_weights(path, alpha=0.5)
    with pytest.raises(BackboneError, match=rf"given.h5.*CAT_BACKBONE_WEIGHTS.*{WEIGHTS_FILE}"):
        load_backbone(network, path)


@pytest.fixture
def keras_site(tmp_path, monkeypatch) -> Iterator[Path]:
    """Keras downloads from a server of ours, into a cache of its own."""
    folder, cache = tmp_path / "site", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()  # where it is missing, Keras keeps its files under /tmp
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(keras_mobilenet, "BASE_WEIGHT_PATH", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(cache))
    yield folder
    server.shutdown()
    server.server_close()


def test_without_a_file_keras_downloads_the_weights(network, published, keras_site):
    path, backbone = published
    (keras_site / WEIGHTS_FILE).write_bytes(path.read_bytes())
    load_backbone(network, None)
    assert_learned(network, backbone)


def test_a_failed_download_names_the_cure(network, keras_site):
    with pytest.raises(BackboneError, match=r"404.*CAT_BACKBONE_WEIGHTS"):
        load_backbone(network, None)


def test_the_head_learns_before_the_rest_does():
    keras.utils.set_random_seed(1)
    network = build_network(image_size=SIZE, filters=(8, 8), blocks=(1, 1))  # any backbone will do
    bright = np.arange(24) % 2 == 0
    given = photos() // 4 + np.where(bright, 190, 0).astype(np.uint8)[:, None, None, None]
    kinds = np.eye(4, dtype=np.float32)[np.where(bright, 0, 3)]
    batches = [(given[start:][:8], kinds[start:][:8], np.ones(8, np.float32)) for start in (0, 8, 16)]
    before = [weight.copy() for weight in network.get_weights()]
    fit_head(network, batches, passes=200)
    said = np.asarray(network(given, training=False)).argmax(axis=1)
    assert (said == kinds.argmax(axis=1)).mean() > 0.9
    same = [np.array_equal(mine, old) for mine, old in zip(network.get_weights(), before, strict=True)]
    assert same == [True] * (len(same) - 2) + [False, False]
