"""Hide regions of a photo behind its blurred self, or behind its mean colour."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

BLUR = 1 / 6  # radius of the blur as a share of the side: it reaches beyond the hidden region

Photo = NDArray[np.uint8]  # (size, size, 3)


def blur(photo: Photo) -> Photo:
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.BoxBlur(round(BLUR * len(photo)))))


def mean_colour(photo: Photo) -> Photo:
    return np.broadcast_to(photo.mean(axis=(0, 1)).round().astype(np.uint8), photo.shape)


def occlude(photo: Photo, background: Photo, hidden: NDArray[np.bool_]) -> Photo:
    """The photo with its background where a region is ``hidden``, bool (regions, regions)."""
    region = np.arange(len(photo)) * len(hidden) // len(photo)
    return np.where(hidden[np.ix_(region, region)][..., None], background, photo)
