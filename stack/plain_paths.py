"""A folder whatever its path: URLs of databases and of MLflow's artifacts take ? and % for something else."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from include.errors import StackError

PLAIN = re.compile(r"[\w./ &'+,@=~()-]+")  # what stands in such a URL for itself


def plain_folder(folder: Path) -> Path:
    """The folder, or a link to it, in a folder of our own below that of temporary files, where its path is not plain.

    Raises StackError where somebody else has made that folder.
    """
    target = folder.absolute()
    if PLAIN.fullmatch(str(target)):
        return target
    name = f"are-you-a-cat-{os.getuid()}-{hashlib.sha256(os.fsencode(target)).hexdigest()[:12]}"
    own = Path(tempfile.gettempdir()) / name
    own.mkdir(mode=0o700, exist_ok=True)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        raise StackError(
            f"{own} is another user's: set CAT_STATE_DIR to a folder whose path has letters and digits only"
        )
    target.mkdir(parents=True, exist_ok=True)
    link = own / "state"
    if not link.is_symlink():
        link.symlink_to(target)
    return link
