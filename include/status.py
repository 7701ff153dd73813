"""What became of each photo of a snapshot: one word per photo, and what follows from it."""

from enum import StrEnum


class Status(StrEnum):
    """Stored as its value, in ``statuses.parquet`` and in the report of a dataset version."""

    USED = "used"
    NOT_SAMPLED = "not sampled"
    QUARANTINED = "quarantined"
    UNLABELLED = "unlabelled"
    DROPPED_BY_REVIEW = "dropped by review"
    POOR_QUALITY = "poor quality"
    NEAR_DUPLICATE = "near-duplicate"
    CONFLICTING_LABELS = "conflicting labels"
    LABEL_ISSUE = "label issue"
    CROWD_ON_OTHER_SPLIT = "crowd is on another split"
    UPLOAD_IN_CROWD = "upload in a crowd"
    SESSION_BURST = "too many from one session"
    DISAGREES_WITH_BASE = "disagrees with the base photos"
    TOO_LARGE_A_SHARE = "too large a share of its class"
    UNREVIEWED_HOLDOUT = "unreviewed on val or test"

    @property
    def waits_for_review(self) -> bool:
        """Whether a person can bring the photo back with a review; only uploads get such a status."""
        return self in WAITING


WAITING = {
    Status.UPLOAD_IN_CROWD,
    Status.SESSION_BURST,
    Status.DISAGREES_WITH_BASE,
    Status.TOO_LARGE_A_SHARE,
    Status.UNREVIEWED_HOLDOUT,
}
