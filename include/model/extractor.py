"""The pinned network whose features the label checks use: trained once on a lake's train side, and kept in the lake.

Never the champion: a promotion must not change which labels are doubted, and with them a dataset's digest.
"""

import logging
import tempfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.data.dataset import read_deduplicated
from include.data.features import EXTRACTOR, without_features, write_features
from include.data.split import sample
from include.lake import layout
from include.lake.base import ObjectStore, keep_first
from include.model.feeding import train_batches
from include.model.network import FEATURES, build_network, compile_network, load_network
from include.model.pixels import Pixels, load_pixels
from include.records import UPLOADS

log = logging.getLogger(__name__)

SIZE = 96  # pixels of the photos it is given: those that trainings of `scratch` see, so that both decode them once
# Size in pixels, epochs and highest learning rate of each stage: few enough epochs that features do not know the
# photos, and their wrong labels, by heart.
STAGES = ((64, 16, 2e-3), (96, 4, 1e-3))
VIEWS = (96, 128)  # sizes at which it looks; each lets it see other details
BATCH = 32
PER_SOURCE = 2000
AT_ONCE = 500


def embed(store: ObjectStore, run: str, *, cache: Path, seed: int) -> dict[str, int]:
    """Task: features for every usable photo of the run that has none; trains the extractor where the lake has none.

    ``cache`` is the folder of decoded pixels. Returns how many photos were embedded.
    """
    photos = read_deduplicated(store, run)
    usable = photos[photos["fate"].isna()]
    missing = without_features(store, usable)
    extractor = load_extractor(store) or train_extractor(store, usable, cache=cache, seed=seed)
    views = [_view(extractor, size) for size in VIEWS] if len(missing) else []
    for start in range(0, len(missing), AT_ONCE):
        some = missing.iloc[start : start + AT_ONCE]
        write_features(store, some, _features(views, load_pixels(store, some, folder=cache, size=SIZE)))
        log.info("features of %d of %d photos", min(start + AT_ONCE, len(missing)), len(missing))
    return {"embedded": len(missing)}


def train_extractor(store: ObjectStore, usable: pd.DataFrame, *, cache: Path, seed: int) -> keras.Model:
    """Train on as many base photos as a run with 2,000 per source would; whoever stores first is everybody's."""
    base = usable[(usable["source"] != UPLOADS) & (usable["side"] == "train")]
    chosen = sample(base, images_per_source=PER_SOURCE, seed=seed)
    chosen = chosen[chosen["fate"] == "used"].assign(kind=chosen["source"], weight=1.0)
    log.info("training the feature extractor %s on %d photos, once for this lake", EXTRACTOR, len(chosen))
    features = fit_extractor(load_pixels(store, chosen, folder=cache, size=SIZE), chosen, seed=seed)
    keep_first(store, layout.extractor(EXTRACTOR), _to_bytes(features))
    extractor = load_extractor(store)
    assert extractor is not None
    return extractor


def fit_extractor(pixels: Pixels, photos: pd.DataFrame, *, seed: int) -> keras.Model:
    """uint8 (batch, 96, 96, 3) to float32 (batch, 192); ``photos`` has kind, label and weight, in the pixels' order."""
    keras.utils.set_random_seed(seed)
    network = None
    for size, epochs, rate in STAGES:
        network = _as_large(network, size)
        _learn(network, pixels, photos, size=size, epochs=epochs, rate=rate, seed=seed + size)
    return _seen_by(network)


def _learn(
    network: keras.Model, pixels: Pixels, photos: pd.DataFrame, *, size: int, epochs: int, rate: float, seed: int
) -> None:
    steps = -(-len(photos) // BATCH)
    compile_network(network, learning_rate=rate, steps=steps * epochs)
    batches = train_batches(pixels, photos, batch_size=BATCH, seed=seed, size=size, far=1.0)
    told = "epoch %d of %d at %d pixels"
    tell = keras.callbacks.LambdaCallback(on_epoch_end=lambda done, _: log.info(told, done + 1, epochs, size))
    network.fit(batches, epochs=epochs, steps_per_epoch=steps, shuffle=False, callbacks=[tell], verbose=0)


def _as_large(network: keras.Model | None, size: int) -> keras.Model:
    """A network for photos of this size, with the weights of ``network``, whose layers know no size."""
    larger = build_network(image_size=size)
    if network:
        larger.set_weights(network.get_weights())
    return larger


def _seen_by(network: keras.Model) -> keras.Model:
    return keras.Model(network.input, network.get_layer(FEATURES).output)


def load_extractor(store: ObjectStore) -> keras.Model | None:
    """The lake's extractor: uint8 (batch, 96, 96, 3) to float32 (batch, 192); none where it was not trained."""
    key = layout.extractor(EXTRACTOR)
    if not store.exists(key):
        return None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "extractor.keras"
        path.write_bytes(store.read(key))
        return load_network(str(path))


def _view(extractor: keras.Model, size: int) -> keras.Model:
    """The extractor, with photos enlarged to ``size`` before it sees them, and features of length 1 behind it."""
    photo = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    seen = _seen_by(build_network(image_size=size))
    seen.set_weights(extractor.get_weights())
    features = seen(keras.layers.Resizing(size, size)(photo))
    return keras.Model(photo, keras.layers.UnitNormalization()(features))


def _features(views: list[keras.Model], pixels: Pixels) -> NDArray[np.float16]:
    """In each view of each photo and its mirror image, averaged. The batch has always one size, so that no photo's
    features depend on who stands beside it."""
    photos = np.zeros((AT_ONCE, SIZE, SIZE, 3), np.uint8)
    photos[: len(pixels)] = pixels.take(np.arange(len(pixels)))
    both = [
        np.hstack([view.predict(some, batch_size=AT_ONCE // 4, verbose=0) for view in views])
        for some in _turned(photos)
    ]
    return np.asarray(np.mean(both, axis=0)[: len(pixels)], np.float16)


def _turned(photos: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    return photos, photos[:, :, ::-1]


def _to_bytes(network: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "extractor.keras"
        network.save(path)
        return path.read_bytes()
