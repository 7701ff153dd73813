"""
### Retrain, and look for better hyperparameters before

**Starts:** by hand, or on `CAT_TUNE_SCHEDULE` (`@monthly` in production, none locally).

**Leaves:** a run of `retrain` with the param `tune_minutes`, which searches for so long, trains with the best values
found, and keeps them: every later run of `retrain` uses them too, until another search finds others.

**If it fails:** it only triggers `retrain`; look there. A run that stays queued means that `retrain` is paused.
"""

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag

from cat_plugin.defaults import DEFAULT_ARGS, SETTINGS, START


@dag(
    schedule=SETTINGS.tune_schedule,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["train"],
    params={"tune_minutes": Param(SETTINGS.tune_minutes, type="integer", minimum=1, title="Minutes of tuning")},
    render_template_as_native_obj=True,
)
def retrain_tuned():
    TriggerDagRunOperator(
        task_id="retrain", trigger_dag_id="retrain", conf={"tune_minutes": "{{ params.tune_minutes }}"}
    )


retrain_tuned()
