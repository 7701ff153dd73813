"""How a photo is made, in a few numbers; and whether such a photo is worth training on."""

import math

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter, ImageStat

from include.settings import Quality

EDGES_AT = 64  # pixels of the longest side: whether a photo is sharp must not depend on its size (cleanvision)
LEVELS = np.arange(256) / 255


def image_properties(image: Image.Image, grey: Image.Image) -> dict[str, float]:
    """Measures of a photo in RGB and in grey. Brightness, contrast and tones are 0 to 1, entropy is in bits.

    ``darkest`` and ``lightest`` are the 5th and 99th percentile of brightness, ``sharpness`` the standard deviation
    of the edges at 64 pixels, ``aspect_ratio`` the short side over the long one: the measures of cleanvision
    (github.com/cleanlab/cleanvision, image_property.py), on Pillow's grey.
    """
    share = np.asarray(grey.histogram()) / (grey.width * grey.height)
    mean = float(share @ LEVELS)
    darkest, lightest = np.interp((0.05, 0.99), share.cumsum(), LEVELS)
    return {
        "aspect_ratio": min(image.size) / max(image.size),
        "brightness": mean,
        "contrast": math.sqrt(max(0.0, float(share @ LEVELS**2) - mean**2)),
        "darkest": float(darkest),
        "lightest": float(lightest),
        "entropy": float(grey.entropy()),
        "sharpness": _sharpness(grey),
    }


def quality_issue(photos: pd.DataFrame, limits: Quality) -> pd.Series:
    """Why a photo teaches nothing, else none; the first reason counts. Columns as ``measure`` names them."""
    short = photos[["width", "height"]].min(axis=1)
    rules = {
        f"tiny: a side has fewer than {limits.min_side} pixels": short < limits.min_side,
        f"odd ratio: the short side is below {limits.min_aspect_ratio} of the long one": (
            photos["aspect_ratio"] < limits.min_aspect_ratio
        ),
        f"little information: entropy below {limits.min_entropy} bits": photos["entropy"] < limits.min_entropy,
        f"too dark: nearly all of it below {limits.min_lightest} of white": photos["lightest"] < limits.min_lightest,
        f"too bright: nearly all of it above {limits.max_darkest} of white": photos["darkest"] > limits.max_darkest,
        f"blurred: edges below {limits.min_sharpness}": photos["sharpness"] < limits.min_sharpness,
    }
    reason = pd.Series(pd.NA, index=photos.index, dtype="string")
    for text, fails in rules.items():
        reason = reason.mask(reason.isna() & fails.fillna(False).astype(bool), text)
    return reason


def _sharpness(grey: Image.Image) -> float:
    small = grey.copy()
    small.thumbnail((EDGES_AT, EDGES_AT), Image.Resampling.BILINEAR)
    edges = small.filter(ImageFilter.FIND_EDGES)
    inner = edges.crop((1, 1, edges.width - 1, edges.height - 1))  # the filter leaves the outermost pixels as they were
    return math.sqrt(ImageStat.Stat(inner).var[0])
