"""``python -m include.training.worker DIGEST --run RUN``: a further worker of a training whose first one is the task.

Each worker finds in ``TF_CONFIG`` who the others are, and reads the same lake; they wait for each other. Only what is
trained on pixels has further workers.
"""

import argparse

from include.dataset.manifest import read_manifest
from include.errors import BadSetting
from include.lake.base import ObjectStore
from include.lake.opening import open_lake
from include.records import RetrainParams
from include.settings import Settings
from include.training.fit import fit
from include.training.pixel_cache import load_pixels
from include.training.plan import plan_training


def join_training(store: ObjectStore, run: str, digest: str, params: RetrainParams) -> None:
    """Train beside the first worker, which alone keeps checkpoints and the network. Raises BadSetting where nothing is
    trained on pixels.
    """
    plan = plan_training(store, run, read_manifest(store, digest), params, Settings())
    if plan.job is None:
        raise BadSetting("a head alone needs no further worker: set --fine-tune-epochs, or CAT_NETWORK=scratch")
    pixels = load_pixels(store, plan.manifest, size=plan.job.image_size)
    fit(pixels, plan.manifest, plan.job, checkpoints=None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Help to train one dataset version on pixels.")
    parser.add_argument("digest", help="the dataset version, as the task publish_dataset tells it")
    parser.add_argument("--run", required=True, help="the id of the run of retrain, whose hyperparameters count")
    parser.add_argument("--epochs", type=int, default=Settings().epochs, help="as the run of retrain has it")
    parser.add_argument("--fine-tune-epochs", type=int, default=0, help="as the run of retrain has it")
    given = parser.parse_args()
    asked = RetrainParams(0, given.epochs, 0, 0, fine_tune_epochs=given.fine_tune_epochs)
    join_training(open_lake(), given.run, given.digest, asked)
