"""
### Predict many photos with the live model

**Starts:** by hand, or after each redeploy of `retrain`, by an asset event. The param `folder` names a folder that the
worker can read, by its absolute path; empty means the photos that users gave, in the lake.

**Leaves:** `predictions/dt=<day>/<run>.jsonl` in the lake: file, probability, is_positive, unsure, model_version,
error, one line per photo. A photo that cannot be read has an error and stops nothing; the log says what was left out. A
retry writes the same object.

**If it fails:** the log of the task says in a sentence what is wrong with params, lake or folder. Otherwise the model
server does not answer, or has no model yet: start it, run `retrain`, clear the task.
"""

from airflow.sdk import dag

from cat_plugin.defaults import CHAMPION, DAG_ARGS, SETTINGS, form
from cat_plugin.tasks import task
from include.lake.opening import open_lake
from include.params import PredictParams


@dag(**DAG_ARGS, schedule=[CHAMPION], doc_md=__doc__, tags=["predict"], params=form(PredictParams()))
def predict_batch():
    @task
    def predict(*, run_id: str, params: dict, dag_run) -> dict:
        from include.lake.lake_check import check_lake
        from include.serving.batch import predict_batch

        folder, day = PredictParams.parse(params).photos, dag_run.run_after.date().isoformat()
        check_lake(SETTINGS)
        return predict_batch(open_lake(SETTINGS), run_id, SETTINGS, folder=folder, day=day)

    predict()


predict_batch()
