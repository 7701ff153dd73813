"""By hand: `python -m include.data.validation DIGEST [--champion DIGEST] [--out FOLDER]`.

Judges a published dataset version as the task `validate` does, and leaves `validation.json` and `validation.html` in a
folder of this machine; the lake stays as it is. The exit code is 1 when the run would have been stopped.
"""

import argparse
import logging
import sys
from pathlib import Path

from include.dataset.manifest import read_manifest, read_report
from include.errors import CatError
from include.lake.formats import to_json
from include.lake.opening import open_lake
from include.settings import Settings
from include.validation.data import as_json, compare_splits
from include.validation.page import render_page
from include.validation.results import describe_comparison, raise_if_stopped


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return _judge(_arguments())
    except CatError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.data.validation")
    parser.add_argument("digest", help="the dataset version: a name under datasets/ in the lake")
    parser.add_argument("--champion", metavar="DIGEST", help="compare its train split with that of this version")
    parser.add_argument("--out", type=Path, help="where the page and the figures go; default: in the local state")
    return parser.parse_args()


def _judge(given: argparse.Namespace) -> int:
    settings, store = Settings(), open_lake()
    manifest, run = read_manifest(store, given.digest), read_report(store, given.digest)["run"]
    found = compare_splits(store, manifest, run, champion=given.champion, settings=settings.validation)
    folder = given.out or settings.home / "validation" / given.digest[:12]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "validation.json").write_bytes(to_json(as_json(found)))
    (folder / "validation.html").write_bytes(render_page(found))
    for one in found:
        sys.stdout.write(
            f"{one.name:10}{one.state:15}{describe_comparison(one) if one.passed is False else one.note}\n"
        )
    sys.stdout.write(f"{folder / 'validation.html'}\n")
    raise_if_stopped(found, str(folder / "validation.html"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
