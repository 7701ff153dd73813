"""One photo, with all that belongs to it and to no other: the page shows this or nothing."""

import hashlib
from dataclasses import dataclass, field
from uuid import uuid4

from include.records import Verdict


@dataclass
class Shown:
    """A photo in one browser session. ``photo`` is the cleaned JPEG, ``explanation`` a PNG.

    ``id`` is random: it names widgets, and the count of the answer, which tells nothing of the photo.
    """

    photo: bytes
    is_example: bool = False
    id: str = field(default_factory=lambda: uuid4().hex)
    verdict: Verdict | None = None
    problem: str = ""  # why there is no verdict
    explanation: bytes | None = None
    shows_why: bool = False
    answer: str | None = None
    kept: bool = False
    said: str = ""  # what the page confirmed last
    fault: str = ""  # what it could not do

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.photo).hexdigest()
