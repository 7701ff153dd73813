"""A folder as an object store."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from include.errors import ObjectNotFound, PreconditionFailed, UnsafeStore
from include.files import sync
from include.lake.base import check_key

UNFINISHED = ".unfinished"  # the folder of drafts; ``keys`` does not list it
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # FAT, some network file systems


class LocalStore:
    """Writes to a draft file, then renames or hard-links it to its key, so an object is never partial."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.unfinished = root / UNFINISHED

    @property
    def name(self) -> str:
        return f"the folder {self.root}"

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectNotFound(f"no object {key!r} in {self.root}") from None

    def write(self, key: str, body: bytes) -> None:
        self._publish(key, body, os.replace)

    def create(self, key: str, body: bytes) -> None:
        try:
            self._publish(key, body, _link)
        except FileExistsError:
            raise PreconditionFailed(f"object {key!r} exists already in {self.root}") from None

    def keys(self, prefix: str) -> Iterator[str]:
        folder = prefix.rpartition("/")[0]
        yield from self._walk(self.root / folder, f"{folder}/" if folder else "", prefix)

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except NotADirectoryError:
            return

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _publish(self, key: str, body: bytes, move: Callable[[Path, Path], None]) -> None:
        target = self._path(key)
        draft = self.unfinished / uuid4().hex
        draft.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_durably(draft, body)
            move(draft, target)
            sync(target.parent)
        finally:
            draft.unlink(missing_ok=True)

    def _walk(self, folder: Path, path: str, prefix: str) -> Iterator[str]:
        for name in _names(folder):
            key = path + name
            if key.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._walk(folder / name, key, prefix)
            elif not key.endswith("/") and key.startswith(prefix):
                yield key


def _write_durably(path: Path, body: bytes) -> None:
    """What a power cut must not take back when its writer has been told that it is stored."""
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _link(draft: Path, target: Path) -> None:
    """Unlike a rename, a hard link fails if the name exists. Raises UnsafeStore where there are no hard links."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        raise UnsafeStore(
            f"{target.parent} cannot be part of a lake: its file system has no hard links ({error.strerror}). "
            "Set CAT_LAKE_URL to a folder on a local disk, or to s3://bucket"
        ) from error


def _names(folder: Path) -> list[str]:
    """The names in a folder, subfolders with a slash at the end: sorted like this, whole keys come in order."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name + "/" * entry.is_dir() for entry in entries if entry.name != UNFINISHED]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(names, key=str.encode)
