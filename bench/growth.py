"""The first epochs of our recipe, for photos of growing number. `python -m bench.growth JOB`, by bench.training."""

import pandas as pd

from bench.measuring import Curve, Job, peak_bytes, tell
from bench.ours import how, load
from include.model.fitting import advance

EPOCHS = 2  # the first one also builds TensorFlow's graphs


def main() -> None:
    job = Job.mine()
    photos = pd.read_parquet(job.manifest)
    loaded, pixels = load(job, photos)
    curve = Curve(job)
    advance(pixels, photos, epochs=job.epochs, until=min(EPOCHS, job.epochs), **how(job, curve))
    measured = {"photos": len(photos), "trained_on": int((photos["side"] == "train").sum()), "load_seconds": loaded}
    tell(measured | {"epochs": curve.epochs, "peak_bytes": peak_bytes()})


if __name__ == "__main__":
    main()
