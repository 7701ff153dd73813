"""Image properties of a photo, and the quality issues that keep it out of training."""

import math

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter, ImageStat

from include.settings import Quality

EDGES_AT = 64  # pixels of the longer side: sharpness must not depend on the size of a photo (as in cleanvision)
LEVELS = np.arange(256) / 255  # brightness of each grey value


def image_properties(image: Image.Image, grey: Image.Image) -> dict[str, float]:
    """Properties of a photo, given in RGB and in greyscale ("L").

    ``brightness`` is the mean, ``contrast`` the standard deviation, ``darkest`` and ``lightest`` the 5th and 99th
    percentile of the grey values, all from 0 to 1. ``entropy`` is in bits, ``sharpness`` the standard deviation of the
    edges at 64 pixels, in grey values from 0 to 255, ``aspect_ratio`` the shorter side over the longer one. All but
    contrast follow cleanvision (github.com/cleanlab/cleanvision, image_property.py), but on Pillow's greyscale.
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
    """The first quality issue of each photo, as text; NA for a photo without one.

    ``photos`` has the columns width and height in pixels, and those of ``image_properties``. A missing value is no
    issue.
    """
    shorter_side = photos[["width", "height"]].min(axis=1)
    rules = {
        f"tiny: a side has fewer than {limits.min_side} pixels": shorter_side < limits.min_side,
        f"odd ratio: the short side is below {limits.min_aspect_ratio} of the long one": (
            photos["aspect_ratio"] < limits.min_aspect_ratio
        ),
        f"little information: entropy below {limits.min_entropy} bits": photos["entropy"] < limits.min_entropy,
        f"too dark: nearly all of it below {limits.min_lightest} of white": photos["lightest"] < limits.min_lightest,
        f"too bright: nearly all of it above {limits.max_darkest} of white": photos["darkest"] > limits.max_darkest,
        f"blurred: edges below {limits.min_sharpness}": photos["sharpness"] < limits.min_sharpness,
    }
    issue = pd.Series(pd.NA, index=photos.index, dtype="string")
    for text, fails in rules.items():
        issue = issue.mask(issue.isna() & fails.fillna(False).astype(bool), text)
    return issue


def _sharpness(grey: Image.Image) -> float:
    small = grey.copy()
    small.thumbnail((EDGES_AT, EDGES_AT), Image.Resampling.BILINEAR)
    edges = small.filter(ImageFilter.FIND_EDGES)
    inner = edges.crop((1, 1, edges.width - 1, edges.height - 1))  # the filter does not change the outermost pixels
    return math.sqrt(ImageStat.Stat(inner).var[0])
