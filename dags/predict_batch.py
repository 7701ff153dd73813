"""
### Predict many photos with the live model

**Starts:** by hand, or after each redeploy of `retrain`, by an asset event. The param `folder` names a folder that the
worker can read; empty means the photos that users gave, in the lake.

**Leaves:** `predictions/dt=<day>/<run>.jsonl` in the lake: file, probability, is_positive, unsure, model_version,
error, one line per photo. A photo that cannot be read has an error and stops nothing. A retry writes the same object.

**If it fails:** the model server does not answer, or has no model yet: start it, run `retrain`, clear the task.
"""

from airflow.sdk import Param, dag, task

from cat_plugin.defaults import CHAMPION, DAG_ARGS, SETTINGS
from include.lake.opening import open_lake

FOLDER = Param("", type="string", title="Folder", description="Empty: the uploads in the lake.")


@dag(**DAG_ARGS, schedule=[CHAMPION], doc_md=__doc__, tags=["predict"], params={"folder": FOLDER})
def predict_batch():
    @task
    def predict(*, run_id: str, params: dict, dag_run) -> dict:
        from include.serving.batch import predict_batch

        day = dag_run.run_after.date().isoformat()
        return predict_batch(open_lake(SETTINGS), run_id, SETTINGS, folder=params["folder"], day=day)

    predict()


predict_batch()
