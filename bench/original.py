"""The original recipe: grey photos, all in memory, a plain network. `python -m bench.original JOB`, by bench.training.

Grey 256-pixel photos as float32 in one array for each side; five convolutions with max-pooling; Adam at Keras' default
rate, batches of 64, no augmentation, cut-off 0.5.
"""

import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from numpy.typing import NDArray
from PIL import Image

from bench.judging import judge
from bench.measuring import Curve, Job, peak_bytes, tell
from include.data.split import calibrates
from include.settings import Settings

SIZE, BATCH, CUT_OFF = 256, 64, 0.5
FILTERS = (32, 64, 128, 128, 64)
Side = tuple[NDArray[np.float32], NDArray[np.float32]]  # photos (count, SIZE, SIZE, 1) from 0 to 1; 1 for a cat


def main() -> None:
    job, settings = Job.mine(), Settings()
    keras.utils.set_random_seed(settings.seed)
    photos = pd.read_parquet(job.manifest)
    # ours is watched on the tuning half of val; so both are compared on the same photos
    parts = photos["side"].mask((photos["side"] == "val") & photos["sha256"].map(calibrates), "not watched")
    began = time.perf_counter()
    sides = {name: load(Path(job.photos), part) for name, part in photos.groupby(parts)}
    loaded = time.perf_counter() - began
    test = photos[photos["side"] == "test"]
    curve = Curve(job)
    network = train(sides["train"], sides["val"], curve)
    probability = network.predict(sides["test"][0], verbose=0)[:, 0].astype(np.float64)
    measured = {"load_seconds": loaded, "trained_on": len(sides["train"][0]), "epochs": curve.epochs}
    tell(measured | judge(test, probability, threshold=CUT_OFF) | {"peak_bytes": peak_bytes()})


def load(folder: Path, photos: pd.DataFrame) -> Side:
    array = np.empty((len(photos), SIZE, SIZE, 1), np.float32)
    for place, key in enumerate(photos["key"]):
        with Image.open(folder / key) as image:
            array[place, ..., 0] = image.convert("L").resize((SIZE, SIZE))
    array /= 255
    return array, (photos["label"] == "cat").to_numpy(np.float32)


def build() -> keras.Model:
    network = keras.Sequential([keras.Input((SIZE, SIZE, 1))])
    for width in FILTERS:
        network.add(layers.Conv2D(width, 3, activation="relu"))
        network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dense(1, activation="sigmoid"))
    return network


def train(learn: Side, watch: Side, curve: Curve) -> keras.Model:
    network = build()
    metric = keras.metrics.AUC(curve="PR", name="average_precision")  # what ours is measured by as well
    network.compile("adam", loss="binary_crossentropy", metrics=[metric])
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: curve.add(logs["val_average_precision"]))
    network.fit(
        *learn, batch_size=BATCH, epochs=curve.job.epochs, validation_data=watch, callbacks=[note], verbose=0
    )  # fmt: skip
    return network


if __name__ == "__main__":
    main()
