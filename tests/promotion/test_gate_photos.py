"""Which photos the gate scores, and by what it slices them."""

import json

import pandas as pd
import pytest

from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.promotion.gate_photos import describe_photos, list_free_photos, list_test_photos
from include.question import NEGATIVE, POSITIVE
from include.records import UPLOADS
from include.status import Status

RUN = "run"


@pytest.fixture
def photos(lake: LocalStore) -> pd.DataFrame:
    """Six test photos of two sources, one of a user, one that is excluded; one train photo."""
    rows = [
        ("cats", "test", POSITIVE, Status.USED),
        ("cats", "test", POSITIVE, Status.NOT_SAMPLED),
        ("dogs", "test", NEGATIVE, Status.USED),
        ("dogs", "test", NEGATIVE, Status.USED),
        ("dogs", "test", NEGATIVE, Status.NEAR_DUPLICATE),
        ("dogs", "train", NEGATIVE, Status.USED),
    ]
    table = pd.DataFrame(rows, columns=["source", "split", "label", "status"])
    table["key"] = [layout.base(source, f"{place:064x}") for place, source in enumerate(table["source"])]
    write_table(lake, layout.run_page(RUN, "statuses.parquet"), table)
    measures = {"width": 64, "height": 64, "sharpness": 1.0, "brightness": [0.1, 0.5, 0.9, 0.5, 0.5, 0.5]}
    write_table(lake, layout.base_facts(layout.members_of(table["key"])), table[["key"]].assign(**measures))
    return table


def test_it_scores_all_free_test_photos_sampled_or_not(lake: LocalStore, photos: pd.DataFrame) -> None:
    assert list_test_photos(lake, RUN)["key"].tolist() == photos["key"].tolist()[:4]
    assert len(list_free_photos(lake, RUN)) == 5


def test_floors_count_the_sample_and_slices_are_sources_and_thirds(lake: LocalStore, photos: pd.DataFrame) -> None:
    described = describe_photos(lake, list_test_photos(lake, RUN))
    assert described.is_positive.tolist() == [True, True, False, False]
    assert described.for_floors.tolist() == [True, False, True, True]
    assert described.slices["cats"].tolist() == [True, True, False, False]
    dark = next(rows for name, rows in described.slices.items() if name.startswith("dark (brightness below"))
    assert dark.tolist() == [True, False, False, False]
    assert len(described.slices) == 2 + 3 * 3


def test_users_photos_are_a_slice_and_no_floor(lake: LocalStore, photos: pd.DataFrame) -> None:
    test = list_test_photos(lake, RUN)
    test.loc[0, "source"] = UPLOADS
    test.loc[0, "key"] = layout.upload_photo("p1")
    fact = {"key": layout.upload_photo("p1"), "width": 8, "height": 8, "brightness": 0.1, "sharpness": 1.0}
    lake.write(layout.upload_facts("p1"), json.dumps(fact | dict.fromkeys(("codes", "upright", "thumbnail"))).encode())
    described = describe_photos(lake, test)
    assert described.for_floors.tolist() == [False, False, True, True]
    assert described.slices["users' photos"].tolist() == [True, False, False, False]
