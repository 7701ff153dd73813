"""
### Ask the live model about many photos

**Starts:** by hand, or by the doorbell that `retrain` rings after each redeploy. The param `folder` names a folder that
the worker can read; empty means the photos that users gave, in the lake.

**Leaves:** `predictions/dt=<day>/<run>.jsonl` in the lake: file, probability, is_cat, unsure, model_version, error, one
line per photo. A photo that cannot be read has an error and stops nothing.

**If it fails:** the model server does not answer, or has no model yet: start it, run `retrain`, clear the task.
"""

from airflow.sdk import Param, dag, task

from cat_plugin.defaults import CHAMPION, DEFAULT_ARGS, START
from cat_plugin.failing import no_retry_on_input_error
from include.lake.opening import open_lake


@dag(
    schedule=[CHAMPION],
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["predict"],
    params={"folder": Param("", type="string", title="Folder", description="Empty: the uploads in the lake.")},
)
def predict_batch():
    @task
    @no_retry_on_input_error
    def ask(*, run_id: str, params: dict) -> dict:
        from include.serving.batch import predict_batch

        return predict_batch(open_lake(), run_id, params["folder"])

    ask()


predict_batch()
