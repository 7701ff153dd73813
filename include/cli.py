"""The command `cat-retrain`: what a person does by hand. It imports all stages, and none of them imports it."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from include.configuration import read_settings
from include.errors import CatError, PreconditionFailed
from include.lake.faults import describe_fault
from include.lake.opening import open_lake
from include.params import RetrainParams
from include.records import LABELS, Review, ReviewVerdict
from include.settings import Settings

if TYPE_CHECKING:
    from include.training.mlflow_runs import Mlflow

Given = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 1 when it fails, with one sentence on stderr."""
    given = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if given.command == "train-worker" else logging.ERROR)
    try:
        settings = read_settings()
        sys.stdout.write(f"{given.action(given, settings)}\n")
    except CatError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{type(error).__name__}: {error}")
    except Exception as error:
        if type(error).__module__.startswith("botocore"):
            return _fail(describe_fault(error, settings))
        if type(error).__module__.startswith("mlflow"):
            reason = str(error).partition("\n")[0][:200]
            return _fail(f"the registry at {settings.tracking_url} does not answer as it should: {reason}")
        raise
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


def build_parser() -> argparse.ArgumentParser:
    """All commands with their help texts."""
    parser = argparse.ArgumentParser("cat-retrain", description="Inspect and steer the retraining system by hand.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: Callable[[Given, Settings], str], help_text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.set_defaults(action=action)
        return command

    add("versions", _versions, "List the registered model versions with what the gate decided, the newest first.")
    promote = add("promote", _promote, "Make a version champion, for example to roll back; waits for the model server.")
    promote.add_argument("version", help="the number of the version, as `versions` lists it")
    promote.add_argument("--reference", action="store_true", help="later versions are measured by this one, too")
    review = add("review", _review, "Decide about one photo for good: keep, relabel or drop it.")
    review.add_argument("photo", help="photo_id of an upload or sha256 of a base photo, as a dataset's card shows it")
    review.add_argument("verdict", choices=get_args(ReviewVerdict), help="relabel needs --label")
    review.add_argument("--by", required=True, metavar="NAME", help="your name")
    review.add_argument("--label", choices=LABELS, help="the right label, with relabel")
    predict = add("predict", _predict, "Predict every photo of a folder with the live model server; writes a CSV file.")
    predict.add_argument("folder", type=Path, help="its subfolders are read too")
    predict.add_argument("--out", type=Path, default=Path("predictions.csv"), help="default: %(default)s")
    validate = add("validate", _validate, "Run the data checks of `validate` on a published dataset version.")
    validate.add_argument("digest", help="the dataset version: a name under datasets/ in the lake")
    validate.add_argument("--champion", metavar="DIGEST", help="compare its train split with that of this version")
    validate.add_argument("--out", type=Path, metavar="FOLDER", help="for the page; default: in the local state")
    rebuild = add("rebuild", _rebuild, "Compute a dataset version again from its snapshot, and compare the digests.")
    rebuild.add_argument("digest", help="the dataset version: a name under datasets/ in the lake")
    worker = add(
        "train-worker", _train_worker, "Help to train on pixels (scratch or fine-tuning) from another machine."
    )
    worker.add_argument("digest", help="the dataset version, as the task publish_dataset returns it")
    worker.add_argument("--run", required=True, help="the id of the run of retrain, whose hyperparameters are used")
    worker.add_argument("--epochs", type=int, help="as the run of retrain has it")
    worker.add_argument("--fine-tune-epochs", type=int, default=0, help="as the run of retrain has it")
    return parser


def _versions(_: Given, settings: Settings) -> str:
    import pandas as pd

    from include.promotion.manual import HEADINGS, list_versions

    versions = list_versions(_registry(settings))
    if not versions:
        return "no version is registered yet: run retrain"
    return str(pd.DataFrame(versions, columns=list(HEADINGS)).to_string(index=False))


def _promote(given: Given, settings: Settings) -> str:
    from include.promotion.manual import promote_version

    return promote_version(_registry(settings), given.version, settings, as_reference=given.reference)


def _registry(settings: Settings) -> "Mlflow":
    from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES

    from include.training.mlflow_runs import connect

    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(1)  # a person waits
    return connect(settings)


def _review(given: Given, settings: Settings) -> str:
    from include.ingestion.reviews import save_review

    at = datetime.now(UTC).isoformat(timespec="seconds")
    review = Review(given.photo, given.verdict, given.by, at, given.label)
    try:
        save_review(open_lake(settings), review)
    except PreconditionFailed as error:
        raise PreconditionFailed(f"photo {given.photo} was reviewed before, and a review is final") from error
    return f"{given.verdict} photo {given.photo}: counts from the next run of retrain on"


def _predict(given: Given, settings: Settings) -> str:
    from include.serving.predict_folder import predict_folder

    count, skipped = predict_folder(settings, given.folder, given.out)
    return f"{count} files answered in {given.out}" + (f"; left out: {skipped}" if skipped.count else "")


def _validate(given: Given, settings: Settings) -> str:
    from include.validation.data import validate_version

    folder = given.out or settings.home / "validation" / given.digest[:12]
    return validate_version(open_lake(settings), given.digest, settings, champion=given.champion, folder=folder)


def _rebuild(given: Given, settings: Settings) -> str:
    from include.dataset.steps import photos_gone, rebuild

    store = open_lake(settings)
    manifest = rebuild(store, given.digest, settings.question, cache=settings.embedding_cache)
    answer = f"dataset {given.digest} rebuilds to the same digest: {len(manifest):,} photos"
    if gone := photos_gone(store, manifest):
        return f"{answer}; {len(gone):,} of them are gone from the lake since, for example {gone[0]}"
    return answer


def _train_worker(given: Given, settings: Settings) -> str:
    from include.training.train import join_training

    epochs = given.epochs or settings.epochs
    params = RetrainParams(0, epochs, 0, 0, fine_tune_epochs=given.fine_tune_epochs)
    join_training(open_lake(settings), given.run, given.digest, params, settings)
    return "the training has ended; the first worker keeps the network"


if __name__ == "__main__":
    sys.exit(main())
