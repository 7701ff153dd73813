"""The image properties that are compared between samples, and the histograms on the validation page.

All but sharpness follow the default properties of Deepchecks. They are computed for all photos at once, which is six
times as fast.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8] | list[NDArray[np.uint8]]  # (photos, size, size, 3)
BINS = 30


def brightness(pictures: Pictures) -> list[float]:
    """Mean grey value of each photo, 0 to 255."""
    return list(grey(pictures).mean(axis=1).tolist())


def contrast(pictures: Pictures) -> list[float]:
    """Standard deviation of the grey values of each photo (RMS contrast, Peli 1990)."""
    return list(grey(pictures).std(axis=1).tolist())


def sharpness(pictures: Pictures) -> list[float]:
    """Standard deviation of the Laplacian of the grey values (Pech-Pacheco et al. 2000); low if a photo is blurred."""
    rows = grey(pictures)
    size = round(rows.shape[1] ** 0.5)
    p = rows.reshape(-1, size, size)
    laplacian = p[:, :-2, 1:-1] + p[:, 2:, 1:-1] + p[:, 1:-1, :-2] + p[:, 1:-1, 2:] - 4 * p[:, 1:-1, 1:-1]
    return list(laplacian.std(axis=(1, 2)).tolist())


def share_of_red(pictures: Pictures) -> list[float]:
    return _share(pictures, 0)


def share_of_blue(pictures: Pictures) -> list[float]:
    return _share(pictures, 2)


# No size or aspect ratio: all photos are squares here. No share of green: it follows from the other two.
PROPERTIES: list[dict[str, Any]] = [
    {"name": name, "method": method, "output_type": "numerical"}
    for name, method in (
        ("brightness", brightness),
        ("contrast", contrast),
        ("sharpness", sharpness),
        ("share of red", share_of_red),
        ("share of blue", share_of_blue),
    )
]


def property_values(pixels: Pictures) -> dict[str, NDArray[np.float64]]:
    """Every property of every photo: float64 (photos,)."""
    return {prop["name"]: np.asarray(prop["method"](pixels), float) for prop in PROPERTIES}


def grey(pictures: Pictures) -> NDArray[np.float32]:
    """The grey values of each photo as a row, 0 to 255 (ITU-R BT.601): float32 (photos, pixels)."""
    colours = np.asarray(pictures, np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return colours.reshape(len(pictures), -1)


def _share(pictures: Pictures, channel: int) -> list[float]:
    """Mean share of a colour channel in the sum of all three, over the pixels of each photo; 0 for black pixels."""
    colours = np.asarray(pictures, np.float32)
    total = colours.sum(axis=-1)
    return list((colours[..., channel] / np.maximum(total, 1)).mean(axis=(1, 2)).tolist())


def histogram(first: NDArray[np.float64], second: NDArray[np.float64]) -> dict[str, list]:
    """Shares of both samples in common bins. The lowest and highest 1 % of values fall into the outermost bins."""
    low, high = np.quantile(np.concatenate([first, second]), [0.01, 0.99])
    edges = np.linspace(low, max(high, low + 1e-9), BINS + 1)
    shares = [np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values) for values in (first, second)]
    return {"edges": _round(edges), "reference": _round(shares[0]), "new": _round(shares[1])}


def _round(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
