"""Connected photos, and the cut of what chance may have connected: known answers on drawn graphs."""

import pandas as pd

from include.dataset.clusters import cut_into_stars, name_clusters

NO_PAIRS = pd.DataFrame({"first": [], "second": []})


def photos(keys: str, **columns: list[str]) -> pd.DataFrame:
    """One photo per letter, which is its key, its name and its bytes."""
    table = pd.DataFrame({"key": list(keys), "sha256": list(keys), "fingerprint": list(keys)})
    return table.assign(split="train", source="cats", label_origin="source").assign(**columns)


def pairs(*two: str) -> pd.DataFrame:
    return pd.DataFrame([list(keys) for keys in two], columns=["first", "second"])


def leaders(table: pd.DataFrame, *two: str) -> str:
    return "".join(cut_into_stars(table, pairs(*two)))


def test_a_cluster_is_named_by_its_lowest_sha256_however_far_it_reaches() -> None:
    assert "".join(name_clusters(photos("edcba"), pairs("ed", "dc"))) == "cccba"


def test_equal_bytes_are_connected_without_a_pair() -> None:
    table = photos("abcd", fingerprint=["1", "2", "1", "2"])
    assert "".join(name_clusters(table, NO_PAIRS)) == "abab"
    assert "".join(name_clusters(table, pairs("ad"))) == "aaaa"


def test_a_pair_with_a_photo_that_is_not_there_connects_nothing() -> None:
    assert "".join(name_clusters(photos("ac"), pairs("ab", "bc"))) == "ac"


def test_no_photos_have_no_clusters() -> None:
    for pairs_of_others in (NO_PAIRS, pairs("ab")):
        assert name_clusters(photos(""), pairs_of_others).empty
        assert cut_into_stars(photos(""), pairs_of_others).empty


def test_the_photo_with_the_most_partners_leads() -> None:
    assert leaders(photos("abcde"), "ea", "eb", "ec", "ed", "ab") == "eeeee"


def test_the_next_leader_takes_only_what_nobody_took() -> None:
    assert leaders(photos("abcdef"), "ab", "ac", "ad", "de", "ef") == "aaaaee"


def test_a_pair_counts_for_all_photos_of_the_same_bytes() -> None:
    table = photos("abcd", fingerprint=["1", "1", "2", "3"])
    assert leaders(table, "bc", "ad") == "aaaa"


def test_a_pair_that_is_listed_twice_or_leads_to_the_same_bytes_counts_once() -> None:
    table = photos("abcde", fingerprint=["1", "1", "2", "3", "4"])
    assert leaders(table, "ab", "ac", "ca", "bc", "ac", "de", "dc") == "cccce"


def test_of_equals_test_leads_then_a_review_then_a_base_photo_then_the_lowest_name() -> None:
    assert leaders(photos("ab"), "ab") == "aa"
    assert leaders(photos("ab", source=["uploads", "cats"]), "ab") == "bb"
    reviewed = {"source": ["cats", "uploads"], "label_origin": ["source", "reviewed"]}
    assert leaders(photos("ab", **reviewed), "ab") == "bb"
    assert leaders(photos("ab", **reviewed, split=["val", "train"]), "ab") == "aa"
    assert leaders(photos("ab", split=["val", "test"]), "ab") == "bb"
    assert leaders(photos("ba", fingerprint=["1", "1"], sha256=["1", "1"])) == "aa"
