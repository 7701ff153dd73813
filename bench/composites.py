"""Photos of which the answer is known: a cat in one quarter, photos of other sources in the other three."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bench.covering import Photo
from include.backbone import SIZE
from include.images.decoding import decode_pixels
from include.registry.explanation import Floats


def draw_composite(test: pd.DataFrame, rng: np.random.Generator) -> tuple[Photo, int]:
    """One of (SIZE, SIZE, 3), and the number of the cat's quarter: 0 above on the left, 3 below on the right."""
    is_cat = (test["label"] == "cat").to_numpy(bool)
    paths = list(rng.choice(test.loc[~is_cat, "path"], 3, replace=False))
    quarter = int(rng.integers(4))
    paths.insert(quarter, rng.choice(test.loc[is_cat, "path"]))
    first, second, third, fourth = (decode_pixels(Path(path).read_bytes(), SIZE // 2) for path in paths)
    return np.vstack([np.hstack([first, second]), np.hstack([third, fourth])]), quarter


def is_in_quarter(heat: Floats, quarter: int) -> bool:
    """Whether the highest point of the map as it is laid over a photo lies there."""
    laid = Image.fromarray(heat.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    row, column = np.unravel_index(np.asarray(laid).argmax(), (SIZE, SIZE))
    return bool(quarter == 2 * (row >= SIZE // 2) + (column >= SIZE // 2))
