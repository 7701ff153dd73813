"""What follows from the status of a photo."""

import pytest

from include.status import WAITING, Status


@pytest.mark.parametrize("status", Status)
def test_a_photo_waits_where_a_review_can_bring_it_back(status: Status) -> None:
    final = {
        Status.USED,
        Status.NOT_SAMPLED,
        Status.QUARANTINED,
        Status.UNLABELLED,
        Status.DROPPED_BY_REVIEW,
        Status.POOR_QUALITY,
        Status.NEAR_DUPLICATE,
        Status.CONFLICTING_LABELS,
        Status.LABEL_ISSUE,
        Status.CROWD_ON_OTHER_SPLIT,
    }
    assert status.waits_for_review == (status not in final)
    assert status.waits_for_review == (status in WAITING)


def test_a_status_is_stored_as_its_words() -> None:
    assert f"{Status.UNREVIEWED_HOLDOUT}" == "unreviewed on val or test"
    assert Status("dropped by review") is Status.DROPPED_BY_REVIEW
