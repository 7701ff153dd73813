"""Network + pixels -> scores."""

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.model.feeding import ordered_batches
from include.model.pixels import Pixels


def score(network: keras.Model, pixels: Pixels, manifest: pd.DataFrame) -> NDArray[np.float32]:
    """Logits of every photo of the manifest, in its order; float32, shape (photos, kinds)."""
    return np.asarray(network.predict(ordered_batches(pixels, manifest), verbose=0))
