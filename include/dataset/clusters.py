"""Which photos show the same picture, by their bytes and by the pairs of near-duplicates."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from include.records import UPLOADS

SPLIT_PRIORITY = {"test": 0, "val": 1, "train": 2}  # where a picture is on several splits, its test photo stays


def name_clusters(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """The cluster of each photo: the lowest sha256 of all photos that it is connected with, however far.

    Equal bytes (``fingerprint``) and ``pairs`` (keys ``first``, ``second``) connect photos. Pairs with a photo that is
    not among ``photos`` do not count. Has the index of ``photos``.
    """
    picture, paired = _graph(photos, pairs)
    number = connected_components(paired, directed=False)[1][picture]
    return photos["sha256"].groupby(number).transform("min")


def cut_into_stars(photos: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """The key of each photo's leader, which is paired with the photo, has its bytes, or is the photo itself.

    The photo whose picture is paired with the most others leads first, and takes all of these; then the next that
    nobody took. So no two leaders are paired. Of equals leads first: on test before val before train, a reviewed label,
    a base photo, the lowest sha256, the lowest key. Arguments and index as for ``name_clusters``.
    """
    picture, paired = _graph(photos, pairs)
    leader = np.full(paired.shape[0], -1)
    for row in _leaders_first(photos, np.diff(paired.indptr)[picture]):
        if leader[picture[row]] < 0:
            near = paired.indices[paired.indptr[picture[row]] : paired.indptr[picture[row] + 1]]
            leader[near[leader[near] < 0]] = row
            leader[picture[row]] = row
    return pd.Series(photos["key"].to_numpy()[leader[picture]], index=photos.index, dtype="string")


def _graph(photos: pd.DataFrame, pairs: pd.DataFrame) -> tuple[NDArray[np.int64], csr_array]:
    """The number of each photo's picture, int64 (photos,), and which pictures are paired, bool (pictures, pictures).

    Photos of equal bytes are one picture. The matrix is symmetric, and no picture is paired with itself.
    """
    number, names = pd.factorize(photos["fingerprint"])
    known = pd.Series(number, index=photos["key"])
    first, second = (pairs[end].map(known).to_numpy(float, na_value=np.nan) for end in ("first", "second"))
    here = ~np.isnan(first) & ~np.isnan(second) & (first != second)
    ends = (first[here].astype(int), second[here].astype(int))
    graph = coo_array((np.ones(here.sum(), bool), ends), shape=(len(names), len(names))).tocsr()
    return number, graph + graph.T


def _leaders_first(photos: pd.DataFrame, partners: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of ``photos`` in the order in which they may lead; the order of rows does not matter."""
    order = pd.DataFrame(
        {
            "partners": -partners,
            "priority": photos["split"].map(SPLIT_PRIORITY).to_numpy(int),
            "unreviewed": (photos["label_origin"] != "reviewed").to_numpy(bool),
            "uploaded": (photos["source"] == UPLOADS).to_numpy(bool),
            "sha256": photos["sha256"].to_numpy(),
            "key": photos["key"].to_numpy(),
        }
    )
    return np.asarray(order.sort_values(list(order.columns)).index, np.int64)
