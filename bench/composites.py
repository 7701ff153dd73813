"""Photos with a known answer: a cat in one quarter, photos of other sources in the other three."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bench.occlusion import Photo
from include.backbone import SIZE
from include.dataset.examples import is_positive
from include.images.decoding import decode_pixels
from include.registry.explanation import Floats


def draw_composite(test: pd.DataFrame, rng: np.random.Generator) -> tuple[Photo, int]:
    """A photo (SIZE, SIZE, 3), and the number of the cat's quarter: 0 is the upper left one, 3 the lower right one."""
    positive = is_positive(test)
    paths = list(rng.choice(test.loc[~positive, "path"], 3, replace=False))
    quarter = int(rng.integers(4))
    paths.insert(quarter, rng.choice(test.loc[positive, "path"]))
    first, second, third, fourth = (decode_pixels(Path(path).read_bytes(), SIZE // 2) for path in paths)
    return np.vstack([np.hstack([first, second]), np.hstack([third, fourth])]), quarter


def peaks_in_quarter(heat: Floats, quarter: int) -> bool:
    """Whether the heat map, enlarged to the size of the photo, has its highest point in this quarter."""
    enlarged = Image.fromarray(heat.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    row, column = np.unravel_index(np.asarray(enlarged).argmax(), (SIZE, SIZE))
    return bool(quarter == 2 * (row >= SIZE // 2) + (column >= SIZE // 2))
