"""
### Retrain on what is new

**Starts:** by hand (the params are explained in the form), or on `CAT_RETRAIN_SCHEDULE` (`@weekly` in production, none
locally). Run `ingest_base_datasets` once before. One run at a time.

**Leaves:** a dataset version `datasets/<digest>/` in the lake (manifest, a report with the fate of every upload, and
what Deepchecks found, as `validation.html`), an MLflow run with curves, pictures, figures and where the model is weak,
a registered version of `are-you-a-cat`, the gate's `decision.json` and `report.json` under `runs/<run>/`; and, when the
gate passed, the alias `champion` on the new version, live.
When nothing is new since the last finished run, all after `anything_new` is skipped; the param `force` trains anyway.

**If it fails:** read the last line of the failed task's log: it names what is wrong and the cure. If it is `validate`,
the photos changed too much: look at `runs/<run>/validation.html`. A broken photo never fails a run; it goes to
`quarantine/` with a reason. `check_model` warns in its log and in MLflow (`evaluation/weaknesses.html`); it fails no
run, and is skipped where it cannot look. A failed `redeploy` has put the alias back; its inputs are decided and no
longer new, so clear it, or trigger with `force`. Every task can be cleared and run again: what is known of a
photo is worked out once, no run registers two models, and the gate decides once.
"""

from airflow.sdk import Label, dag, task, task_group

from cat_plugin.defaults import CHAMPION, DEFAULT_ARGS, RETRAIN_PARAMS, SETTINGS, START, TRAINING_ARGS
from cat_plugin.failing import no_retry_on_input_error, skip_on_error
from include.lake.opening import open_lake
from include.settings import CHAMPION_POOL


@dag(
    schedule=SETTINGS.retrain_schedule,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["train"],
    params=RETRAIN_PARAMS,
)
def retrain():
    @task
    @no_retry_on_input_error
    def snapshot_base(*, run_id: str) -> str:
        from include.ingestion.snapshot import snapshot_base

        return snapshot_base(open_lake(), run_id)

    @task
    @no_retry_on_input_error
    def snapshot_uploads(*, run_id: str) -> str:
        from include.ingestion.snapshot import snapshot_uploads

        return snapshot_uploads(open_lake(), run_id)

    @task.short_circuit
    @no_retry_on_input_error
    def anything_new(*, run_id: str, params: dict) -> bool:
        from include.ingestion.snapshot import anything_new
        from include.records import RetrainParams

        recipe = SETTINGS.recipe | SETTINGS.policy.model_dump()
        return anything_new(open_lake(), run_id, RetrainParams.of(params), recipe)

    @task
    @no_retry_on_input_error
    def list_new_images(*, run_id: str) -> list[str]:
        from include.dataset.facts import list_new_images

        return list_new_images(open_lake(), run_id, cache=SETTINGS.embedding_cache, shard_size=SETTINGS.shard_size)

    @task(max_active_tis_per_dag=2)
    @no_retry_on_input_error
    def describe(shard: str) -> dict:
        from include.dataset.facts import describe

        return describe(open_lake(), shard)

    @task(trigger_rule="none_failed")  # no photo without facts: describe is skipped, the run is not
    @no_retry_on_input_error
    def deduplicate(*, run_id: str) -> str:
        from include.dataset.steps import deduplicate

        return deduplicate(open_lake(), run_id, SETTINGS.policy)

    @task
    @no_retry_on_input_error
    def check_labels(*, run_id: str) -> str:
        from include.dataset.steps import check_labels

        return check_labels(open_lake(), run_id, SETTINGS.policy, cache=SETTINGS.embedding_cache)

    @task
    @no_retry_on_input_error
    def split(*, run_id: str, params: dict) -> str:
        from include.dataset.steps import sample_photos

        return sample_photos(open_lake(), run_id, images_per_source=params["images_per_source"])

    @task
    @no_retry_on_input_error
    def validate(*, run_id: str) -> dict:
        from include.registry.versions import champion_dataset
        from include.validation.data import validate

        return validate(open_lake(), run_id, champion=champion_dataset())

    @task
    @no_retry_on_input_error
    def publish_dataset(*, run_id: str, params: dict) -> str:
        from include.dataset.steps import publish_dataset

        return publish_dataset(
            open_lake(),
            run_id,
            images_per_source=params["images_per_source"],
            policy=SETTINGS.policy,
            cache=SETTINGS.embedding_cache,
            run_url=f"{SETTINGS.airflow_url}/dags/retrain/runs/{run_id}",
        )

    @task(**TRAINING_ARGS)
    @no_retry_on_input_error
    def tune(dataset: str, *, run_id: str, params: dict) -> dict:
        from include.records import RetrainParams
        from include.tuning.tune import tune

        return tune(open_lake(), run_id, dataset, RetrainParams.of(params), settings=SETTINGS)

    @task(**TRAINING_ARGS)
    @no_retry_on_input_error
    def train(dataset: str, *, run_id: str, params: dict) -> str:
        from include.records import RetrainParams
        from include.training.train import train

        return train(open_lake(), run_id, dataset, RetrainParams.of(params))

    @task
    @no_retry_on_input_error
    def evaluate(dataset: str, mlflow_run: str, *, run_id: str, params: dict) -> dict:
        from include.promotion.evaluate import evaluate
        from include.records import RetrainParams

        return evaluate(open_lake(), run_id, dataset, mlflow_run, RetrainParams.of(params))

    @task
    @skip_on_error  # beside the way to the gate: it warns, and a run ends as if it were not there
    def check_model(*, run_id: str) -> dict:
        from include.validation.model import check_model

        return check_model(open_lake(), run_id)

    @task.branch
    @no_retry_on_input_error
    def gate(*, run_id: str, params: dict) -> str:
        from include.promotion.comparison import compare_and_decide
        from include.records import RetrainParams

        decision = compare_and_decide(open_lake(), run_id, RetrainParams.of(params))
        return "release.redeploy" if decision.better else "release.keep_champion"

    @task(pool=CHAMPION_POOL, outlets=[CHAMPION])
    @no_retry_on_input_error
    def redeploy(*, run_id: str) -> dict:
        from include.promotion.deploy import redeploy

        return redeploy(open_lake(), run_id)

    @task
    @no_retry_on_input_error
    def keep_champion(*, run_id: str) -> list[str]:
        from include.promotion.comparison import failed_rules

        return failed_rules(open_lake(), run_id)

    @task(trigger_rule="none_failed_min_one_success")
    @no_retry_on_input_error
    def report(*, run_id: str) -> dict:
        from include.promotion.run_report import report

        return report(open_lake(), run_id)

    @task_group
    def collect():
        shards = list_new_images()
        [snapshot_base(), snapshot_uploads()] >> anything_new() >> shards
        return describe.expand(shard=shards)

    @task_group
    def check(described):
        dataset = publish_dataset()
        described >> deduplicate() >> check_labels() >> split() >> validate() >> dataset
        return dataset

    @task_group(group_id="train")
    def learn(dataset):
        trained = train(dataset)
        tune(dataset) >> trained
        evaluation = evaluate(dataset, trained)
        evaluation >> check_model()
        return evaluation

    @task_group
    def release(evaluation):
        choice, told = gate(), report()
        evaluation >> choice
        choice >> Label("better") >> redeploy() >> told
        choice >> Label("not better") >> keep_champion() >> told

    dataset = check(collect())
    release(learn(dataset))


retrain()
