"""Which photos are near-duplicates: resized, recompressed, turned, mirrored, grey, lighter, or cut to their middle.

Hashes propose candidates, pixels confirm them, so that no single number decides about a pair.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from include.images.perceptual_hash import CENTRE_CROPS, turn

AT = 32  # pixels: photos are compared at this size
NEARBY = (-0.03, -0.015, 0.0, 0.015, 0.03)  # a crop may lie between two of CENTRE_CROPS
QUERIES = 4096  # photos per query, and
AT_ONCE = 50_000  # pairs per comparison, so that memory stays flat
Thumbnails = Callable[[NDArray[np.int64]], NDArray[np.uint8]]  # rows -> (rows, side, side)


def find_candidates(
    codes: NDArray[np.uint8], upright: NDArray[np.bool_], *, new: NDArray[np.bool_], max_distance: int
) -> Iterator[NDArray[np.int64]]:
    """Pairs of photos whose hashes are at most ``max_distance`` bits apart, one of them new.

    ``codes`` is uint8 (photos, crops, orientations, 8), ``upright`` bool (photos, crops, orientations), ``new`` bool
    (photos,). Each photo, whole and in its canonical orientation, queries all centre crops of all others in each
    orientation that may be canonical.

    Yields int64 arrays (pairs, 5): query photo, its orientation, matching photo, its crop, its orientation.
    """
    query_turns = upright[:, 0].argmax(axis=1)
    queries = codes[np.arange(len(codes)), 0, query_turns]
    rows = np.argwhere(upright)
    of_new = new[rows[:, 0]]
    for index, among in ((np.flatnonzero(new), np.ones(len(rows), bool)), (np.flatnonzero(~new), of_new)):
        for query, index_place in _within(queries, index, codes[tuple(rows[among].T)], max_distance):
            match = rows[among][index_place]
            yield np.column_stack([query, query_turns[query], match])[query != match[:, 0]]


def confirm(candidates: NDArray[np.int64], thumbnails: Thumbnails, *, min_similarity: float) -> NDArray[np.float64]:
    """Similarity of each candidate pair, 0 to 1, shape (pairs,); 0 where it is below ``min_similarity``.

    It is the correlation of the details (what differs from the surroundings) at 32 x 32 pixels, which neither
    brightness nor a common outline causes. By averages alone two portraits would be near-duplicates.
    """
    query, query_turn, match, crop, match_turn = candidates.T
    rows, places = np.unique(np.concatenate([query, match]), return_inverse=True)
    pictures = thumbnails(rows).astype(np.float32)
    queries, matches = pictures[places[: len(query)]], pictures[places[len(query) :]]
    query_details = _details(turn(_centre_crops(queries, np.ones(len(query))), query_turn))
    shares = np.asarray(CENTRE_CROPS)[crop]
    turned = [turn(_centre_crops(matches, np.minimum(1.0, shares + by)), match_turn) for by in NEARBY]
    similarity = np.max([_correlation(query_details, _details(one)) for one in turned], axis=0)
    return np.where(similarity >= min_similarity, similarity, 0.0)


def find_pairs(
    names: NDArray[np.object_],
    codes: NDArray[np.uint8],
    upright: NDArray[np.bool_],
    thumbnails: Thumbnails,
    *,
    new: NDArray[np.bool_],
    max_distance: int,
    min_similarity: float,
) -> pd.DataFrame:
    """Confirmed pairs with at least one new photo: a row each first, second (names, in order), similarity."""
    proposed = [*find_candidates(codes, upright, new=new, max_distance=max_distance), np.empty((0, 5), np.int64)]
    candidates = np.concatenate(proposed)
    similarity = [np.empty(0)]
    for start in range(0, len(candidates), AT_ONCE):
        similarity.append(confirm(candidates[start : start + AT_ONCE], thumbnails, min_similarity=min_similarity))
    kept = np.concatenate(similarity) > 0
    two = np.sort(names[candidates[kept][:, [0, 2]]].astype(str), axis=1)
    pairs = pd.DataFrame({"first": two[:, 0], "second": two[:, 1], "similarity": np.concatenate(similarity)[kept]})
    return pairs.groupby(["first", "second"], as_index=False)["similarity"].max()


def _within(
    queries: NDArray[np.uint8], index: NDArray[np.int64], codes: NDArray[np.uint8], distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Chunks of (query photo, row of ``codes``) at most ``distance`` bits apart. Exact: no pair is missed."""
    import faiss

    flat = faiss.IndexBinaryFlat(64)
    flat.add(np.ascontiguousarray(codes))
    for start in range(0, len(index), QUERIES):
        chunk = index[start : start + QUERIES]
        limits, _, places = flat.range_search(np.ascontiguousarray(queries[chunk]), distance + 1)
        yield np.repeat(chunk, np.diff(limits.astype(np.int64))), places


def _centre_crops(pictures: NDArray[np.float32], shares: NDArray[np.float64]) -> NDArray[np.float32]:
    """The centre crop of each picture, averaged down to 32 x 32; shape (n, 32, 32)."""
    small = np.empty((len(pictures), AT, AT), np.float32)
    for share in np.unique(shares):
        weights = _averages(pictures.shape[1], float(share))
        small[shares == share] = weights @ pictures[shares == share] @ weights.T
    return small


def _averages(side: int, share: float) -> NDArray[np.float32]:
    """Weights (32, side) of the pixels that fall into each of 32 cells over the middle of a line."""
    step = side * share / AT
    low = side * (1 - share) / 2 + np.arange(AT)[:, None] * step
    covered = np.minimum(low + step, np.arange(side) + 1) - np.maximum(low, np.arange(side))
    return np.asarray(covered.clip(0) / step, np.float32)


def _details(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(pictures - gaussian_filter(pictures, (0, 2, 2)))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    one, other = (part - part.mean((1, 2), keepdims=True) for part in (one, other))
    norm = np.sqrt((one**2).sum((1, 2)) * (other**2).sum((1, 2)))
    return np.asarray((one * other).sum((1, 2)) / (norm + AT * AT))  # uniform pictures have no details to compare
