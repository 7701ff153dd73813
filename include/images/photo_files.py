"""The photos of a folder on this machine's disk: one walk and one reader for all who take photos from a folder.

Names and endings do not tell photos from other files: the decoder does. Left out, and named, is what cannot be meant:
hidden and system files and folders, and what cannot be read.
"""

import errno
import os
from pathlib import Path

from include.images.decoding import MAX_BYTES

# What systems and their tools leave among people's files; in small letters.
SYSTEM = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "#recycle", "#snapshot", "__macosx"),
    *("$recycle.bin", "recycler", "system volume information", "lost+found", "found.000"),
    *("network trash folder", "temporary items", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}
HIDDEN = "hidden or of the system"
BROKEN = "links that lead nowhere"
TWICE = "links to a folder that is read already"
SPECIAL = "neither files nor folders"
UNREADABLE = "cannot be read"
TOO_LARGE = f"larger than {MAX_BYTES:,} bytes"
# Faults of the machine or of its network: they say nothing about one file.
OF_THE_MACHINE = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ENOTCONN, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
}
EXAMPLES = 3


class Skipped:
    """What was left out, by the reason: names within the folder, fit to be shown."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def add(self, reason: str, name: Path) -> None:
        self.names.setdefault(reason, []).append(printable(name))

    @property
    def count(self) -> int:
        return sum(map(len, self.names.values()))

    @property
    def unknown(self) -> int:
        """Of how many of them nobody knows whether they are photos."""
        return sum(len(self.names.get(reason, [])) for reason in (UNREADABLE, BROKEN))

    def __str__(self) -> str:
        """Such as "cannot be read: 2 (a.jpg, b.jpg); hidden or of the system: 1 (.DS_Store)"; empty for nothing."""
        return "; ".join(f"{reason}: {len(names)} ({_examples(names)})" for reason, names in self.names.items())


def walk(folder: Path, skipped: Skipped) -> list[Path]:
    """Every file below a folder, in order. Links are followed, and no folder is entered twice.

    What is left out is added to ``skipped``. A folder that is not there has no files.
    """
    files, entered = list[Path](), set[tuple[int, int]]()
    folders, links = [folder], list[Path]()
    while folders or links:
        place = folders.pop() if folders else links.pop(0)
        try:
            status = place.stat()
            entries = sorted(os.scandir(place), key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            _raise_if_of_the_machine(error)
            skipped.add(UNREADABLE, _within(folder, place))
            continue
        if (status.st_dev, status.st_ino) in entered:
            skipped.add(TWICE, _within(folder, place))
            continue
        entered.add((status.st_dev, status.st_ino))
        for entry in entries:
            path, kind = Path(entry.path), _kind_of(entry)
            if kind == "folder":
                (links if entry.is_symlink() else folders).append(path)
            elif kind == "file":
                files.append(path)
            else:
                skipped.add(kind, _within(folder, path))
    return sorted(files)


def read_photo(path: Path) -> bytes | None:
    """The bytes of a file, of a huge one no more than show that it is; none if it cannot be read.

    Faults of the machine rise as they are.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        _raise_if_of_the_machine(error)
        return None


def read_or_skip(folder: Path, path: Path, skipped: Skipped) -> bytes | None:
    """The bytes of a file below ``folder`` that can be a photo; of any other the reason is added to ``skipped``."""
    body = read_photo(path)
    if body is not None and len(body) <= MAX_BYTES:
        return body
    skipped.add(UNREADABLE if body is None else TOO_LARGE, _within(folder, path))
    return None


def printable(name: Path | str) -> str:
    """A name as people can read it, whatever its bytes: what is no text is escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _kind_of(entry: os.DirEntry[str]) -> str:
    """``file`` or ``folder``, of a link what it leads to; else why it is left out."""
    if entry.name.startswith(".") or entry.name.lower() in SYSTEM:
        return HIDDEN
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError as error:  # such as a link to itself
        _raise_if_of_the_machine(error)
        return BROKEN if entry.is_symlink() else UNREADABLE
    return BROKEN if entry.is_symlink() and not Path(entry.path).exists() else SPECIAL


def _raise_if_of_the_machine(error: OSError) -> None:
    if error.errno in OF_THE_MACHINE:
        raise error


def _within(folder: Path, path: Path) -> Path:
    return path.relative_to(folder)


def _examples(names: list[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
