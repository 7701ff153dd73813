"""What holds for crowds of every form: random photos, pairs, labels and splits."""

import random
from functools import cache

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from include.dataset.deduplication import drop_near_duplicates
from include.records import LABELS, SPLITS, UPLOADS
from include.status import Status

SEEDS = range(16)
SEED = st.integers(min_value=0, max_value=2**32 - 1)


@cache
def draw(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Photos without a status, pairs among them, and how many photos a cluster may have.

    Some have equal bytes and so one split. Few or many are paired, at random or with one photo. None, some or all are
    uploads. Labels are all equal, or a few or many differ.
    """
    rng = random.Random(seed)
    count = rng.randint(1, 60)
    pictures = [rng.randrange(max(1, round(count * rng.uniform(0.5, 2)))) for _ in range(count)]
    split = [rng.choice(SPLITS) for _ in range(2 * count)]
    uploads, others = rng.choice([0, 0.3, 1]), rng.choice([0, 0.05, 0.5])
    rows = []
    for number, picture in enumerate(pictures):
        uploaded, reviewed = rng.random() < uploads, rng.random() < 0.1
        origin = "reviewed" if reviewed else "user" if uploaded else "source"
        label, source = LABELS[rng.random() < others], UPLOADS if uploaded else "cats"
        rows.append((f"{source}/{number:02}", source, label, split[picture], origin, f"picture {picture}"))
    photos = pd.DataFrame(rows, columns=["key", "source", "label", "split", "label_origin", "fingerprint"])
    sha256 = [f"{rng.getrandbits(64):016x}" for _ in range(2 * count)]
    photos = photos.assign(sha256=[sha256[picture] for picture in pictures], status=pd.array([pd.NA] * count, "string"))
    return photos, draw_pairs(rng, list(photos["key"])), rng.randint(2, 8)


def draw_pairs(rng: random.Random, keys: list[str]) -> pd.DataFrame:
    centre = rng.choice(keys)
    count = rng.randint(0, rng.choice([1, 3, 10]) * len(keys))
    chosen = [(rng.choice([centre, rng.choice(keys)]), rng.choice(keys)) for _ in range(count)]
    pairs = pd.DataFrame([sorted(pair) for pair in chosen if pair[0] != pair[1]], columns=["first", "second"])
    return pairs.drop_duplicates(ignore_index=True)


def connected(photos: pd.DataFrame, pairs: pd.DataFrame) -> dict[str, frozenset[str]]:
    """The cluster of each photo, as the set of its keys: found by walking, one photo after another."""
    near: dict[str, set[str]] = {key: set() for key in photos["key"]}
    for _, members in photos.groupby("fingerprint")["key"]:
        for key in members:
            near[key].update(members)
    for first, second in pairs[["first", "second"]].itertuples(index=False):
        if first in near and second in near:
            near[first].add(second)
            near[second].add(first)
    clusters: dict[str, frozenset[str]] = {}
    for key in near:
        reached, ahead = {key}, [key]
        while ahead:
            ahead += (new := near[ahead.pop()] - reached)
            reached |= new
        clusters[key] = frozenset(reached)
    return clusters


@cache
def resolve(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    photos, pairs, most = draw(seed)
    return drop_near_duplicates(photos, pairs, max_cluster=most).set_index("key", drop=False), pairs, most


def waits(photos: pd.DataFrame) -> pd.Series:
    """Which of them are uploads that wait because they are in a crowd."""
    return (photos["status"] == Status.UPLOAD_IN_CROWD).fillna(False).astype(bool)


def by_key(photos: pd.DataFrame) -> pd.DataFrame:
    return photos.reset_index(drop=True).sort_values("key", ignore_index=True)


@settings(max_examples=12)
@given(seed=SEED)
def test_no_two_photos_that_stay_are_alike_or_connected_over_two_splits(seed: int) -> None:
    photos, pairs, _ = resolve(seed)
    stay = photos[photos["status"].isna()]
    assert stay["fingerprint"].is_unique
    assert not (pairs["first"].isin(stay["key"]) & pairs["second"].isin(stay["key"])).any()
    for members in set(connected(photos[~waits(photos)], pairs).values()):
        assert stay.loc[stay["key"].isin(members), "split"].nunique() <= 1
        assert photos.loc[list(members), "cluster"].nunique() == 1
    assert (stay.groupby("cluster")["split"].nunique() <= 1).all()


@settings(max_examples=12)
@given(seed=SEED)
def test_crowds_are_those_with_too_many_photos_and_their_unreviewed_uploads_wait(seed: int) -> None:
    photos, pairs, most = resolve(seed)
    crowded = photos["key"].isin([key for key, members in connected(photos, pairs).items() if len(members) > most])
    assert photos["crowd"].notna().tolist() == crowded.tolist()
    unreviewed = (photos["source"] == UPLOADS) & (photos["label_origin"] != "reviewed")
    assert waits(photos).tolist() == (crowded & unreviewed).tolist()
    assert set(photos.loc[~crowded, "status"].dropna()) <= {Status.NEAR_DUPLICATE, Status.CONFLICTING_LABELS}


@settings(max_examples=12)
@given(seed=SEED)
def test_what_stays_of_a_crowd_is_paired_with_no_other_label_of_its_rank(seed: int) -> None:
    photos, pairs, _ = resolve(seed)
    crowded = photos[photos["crowd"].notna() & ~waits(photos)]
    for first, second in pairs[["first", "second"]].itertuples(index=False):
        for mine, other in ((first, second), (second, first)):
            if mine in crowded["key"] and other in crowded["key"] and pd.isna(photos["status"][mine]):
                only_mine_is_reviewed = (photos["label_origin"][[mine, other]] == "reviewed").tolist() == [True, False]
                assert photos["label"][mine] == photos["label"][other] or only_mine_is_reviewed


@settings(max_examples=12)
@given(seed=SEED)
def test_a_cluster_keeps_a_photo_unless_its_labels_differ_or_all_of_it_waits(seed: int) -> None:
    photos, pairs, _ = resolve(seed)
    for members in set(connected(photos[~waits(photos)], pairs).values()):
        cluster = photos.loc[list(members)]
        assert cluster["status"].isna().any() or cluster["label"].nunique() > 1


@settings(max_examples=12)
@given(seed=SEED)
def test_neither_the_order_of_rows_nor_that_of_pairs_matters(seed: int) -> None:
    photos, pairs, most = draw(seed)
    turned = pairs.rename(columns={"first": "second", "second": "first"})
    shuffled, mixed = (table.sample(frac=1, random_state=seed) for table in (photos, pd.concat([pairs, turned])))
    again = drop_near_duplicates(shuffled, mixed, max_cluster=most)
    pd.testing.assert_frame_equal(by_key(again), by_key(resolve(seed)[0]))


@settings(max_examples=12)
@given(seed=SEED)
def test_other_clusters_are_as_they_are_without_crowds_and_crowds_as_without_their_uploads(seed: int) -> None:
    photos, pairs, most = draw(seed)
    known = resolve(seed)[0]
    ordinary = known["crowd"].isna().to_numpy()
    unlimited = drop_near_duplicates(photos[ordinary], pairs, max_cluster=len(photos))
    pd.testing.assert_frame_equal(by_key(unlimited), by_key(known[ordinary]))
    rest = ~waits(known).to_numpy()
    without = drop_near_duplicates(photos[rest], pairs, max_cluster=most)
    pd.testing.assert_frame_equal(by_key(without).drop(columns="crowd"), by_key(known[rest]).drop(columns="crowd"))


def test_the_drawn_photos_have_crowds_that_keep_none_one_and_several_and_some_on_another_split() -> None:
    """Otherwise the tests above would prove little."""
    tables = [resolve(seed)[0] for seed in SEEDS]
    crowds = [crowd for table in tables for _, crowd in table[table["crowd"].notna()].groupby("crowd")]
    kept = [min(2, int(crowd["status"].isna().sum())) for crowd in crowds]
    assert {number: kept.count(number) >= 3 for number in (0, 1, 2)} == dict.fromkeys((0, 1, 2), True)
    apart = [crowd for crowd in crowds if (crowd["status"] == Status.CROWD_ON_OTHER_SPLIT).fillna(False).any()]
    assert len(apart) >= 3
