"""
### Retrain on what is new

**Starts:** by hand (the form explains the params), or on `CAT_RETRAIN_SCHEDULE` (`@weekly` in production, none
locally). Run `ingest_base_datasets` once before. One run at a time.

**Leaves:** a dataset version `datasets/<digest>/` in the lake (manifest, card, the status of every photo, and the
data checks as `validation.html`), an MLflow run with curves, plots, metrics and model checks, a registered version of
the model, the gate's decision (`decision.json`, and a page for people, `decision.html`) and `report.json` under
`runs/<run>/`; and, when the gate passed, the alias `champion` on the new version, live. The note of the run says what
was decided. In a close call the champion stays, unless `CAT_GATE__CLOSE_CALLS` says otherwise: with `ask` the run
waits for an answer under *Required Actions*, and the next run waits for it. When nothing is new since the last
decided run, all tasks after `anything_new` are skipped; the param `force` trains anyway.

**If it fails:** wrong input fails a task at once: the line marked ERROR in its log says in a sentence what is wrong,
and the cure. Errors of network and machine are retried. `preflight` finds what is wrong with params, lake and MLflow.
`list_new_images`, `deduplicate`, `check_labels` and `sample` say where a label has no photos left, and what took them.
If `validate` failed, the photos changed too much: look at `runs/<run>/validation.html`. A broken photo never fails a
run; it goes to `quarantine/` with a reason. *PhotoMissing*: a photo that was listed is not in the lake; bring it back,
or trigger another run. `check_model` warns in its log and in MLflow (`evaluation/model_checks.html`) and never fails a
run. A failed `redeploy` has put the alias back, unless somebody moved it meanwhile: clear it, or trigger with `force`.
Every task can be cleared and run again. A cleared run keeps its photos; for newer ones trigger another. What earlier
tasks left is used again only if it was made from the same: no run registers two models of the same, and the gate
decides once about each.
"""

from airflow.sdk import Label, TaskInstance, dag, task_group

from cat_plugin.ask_person import ask_person
from cat_plugin.defaults import CHAMPION, DAG_ARGS, RETRAIN_PARAMS, SETTINGS, TRAINING_ARGS, TRAINING_QUEUE, run_url
from cat_plugin.errors import skip_on_error
from cat_plugin.run_note import set_run_note
from cat_plugin.tasks import branch, short_circuit, task
from include.lake.opening import open_lake
from include.params import RetrainParams
from include.settings import CHAMPION_POOL

NEXT = {"promote": "release.redeploy", "keep": "release.keep_champion", "ask": "release.ask_person"}


@dag(**DAG_ARGS, schedule=SETTINGS.retrain_schedule, doc_md=__doc__, tags=["train"], params=RETRAIN_PARAMS)
def retrain():
    @task
    def preflight(*, run_id: str, params: dict) -> None:
        from include.lake.layout import run_name
        from include.preflight import check_places

        RetrainParams.parse(params)
        run_name(run_id)
        check_places(SETTINGS)

    @task
    def snapshot_base(*, run_id: str) -> str:
        from include.ingestion.snapshot import snapshot_base

        return snapshot_base(open_lake(SETTINGS), run_id, SETTINGS.question)

    @task
    def snapshot_uploads(*, run_id: str) -> str:
        from include.ingestion.snapshot import snapshot_uploads

        return snapshot_uploads(open_lake(SETTINGS), run_id)

    @short_circuit
    def anything_new(*, run_id: str, params: dict) -> bool:
        from include.ingestion.snapshot import anything_new
        from include.promotion.cleared import check_champion_unmoved

        check_champion_unmoved(open_lake(SETTINGS), run_id, SETTINGS)
        return anything_new(open_lake(SETTINGS), run_id, RetrainParams.parse(params), SETTINGS)

    @task
    def list_new_images(*, run_id: str) -> list[str]:
        from include.dataset.facts import list_new_images
        from include.dataset.label_counts import check_snapshot

        check_snapshot(open_lake(SETTINGS), run_id, SETTINGS.question)
        cache, shard_size = SETTINGS.embedding_cache, SETTINGS.shard_size
        return list_new_images(open_lake(SETTINGS), run_id, cache=cache, shard_size=shard_size)

    @task(max_active_tis_per_dag=2)
    def describe(shard: str) -> dict:
        from include.dataset.facts import describe

        return describe(open_lake(SETTINGS), shard)

    @task(trigger_rule="none_failed")  # no new images: describe is skipped, the run is not
    def deduplicate(*, run_id: str) -> str:
        from include.dataset.label_counts import check_table
        from include.dataset.steps import deduplicate

        store = open_lake(SETTINGS)
        return check_table(store, deduplicate(store, run_id, SETTINGS.policy), SETTINGS.question)

    @task
    def check_labels(*, run_id: str) -> str:
        from include.dataset.label_counts import check_table
        from include.dataset.steps import check_labels

        store = open_lake(SETTINGS)
        return check_table(store, check_labels(store, run_id, SETTINGS), SETTINGS.question)

    @task
    def sample(*, run_id: str, params: dict) -> str:
        from include.dataset.label_counts import check_table
        from include.dataset.steps import sample

        store, images = open_lake(SETTINGS), RetrainParams.parse(params).images_per_source
        sampled = sample(store, run_id, SETTINGS, images_per_source=images)
        return check_table(store, sampled, SETTINGS.question)

    @task
    def validate(*, run_id: str, params: dict) -> dict:
        from include.registry.versions import champion_dataset
        from include.training.mlflow_runs import connect
        from include.validation.data import validate

        images, champion = RetrainParams.parse(params).images_per_source, champion_dataset(connect(SETTINGS))
        return validate(open_lake(SETTINGS), run_id, SETTINGS, images_per_source=images, champion=champion)

    @task
    def publish_dataset(*, run_id: str, params: dict) -> str:
        from include.dataset.publish import publish
        from include.promotion.margin import check_test_split

        images = RetrainParams.parse(params).images_per_source
        digest = publish(open_lake(SETTINGS), run_id, SETTINGS, images_per_source=images, run_url=run_url(run_id))
        check_test_split(open_lake(SETTINGS), run_id, SETTINGS)  # a photo too few must not be found after training
        return digest

    @task(**TRAINING_ARGS)
    def tune(dataset: str, *, run_id: str, params: dict) -> dict:
        from include.tuning.tune import tune

        return tune(open_lake(SETTINGS), run_id, dataset, RetrainParams.parse(params), settings=SETTINGS)

    @task(**TRAINING_ARGS)
    def train(dataset: str, *, run_id: str, params: dict) -> str:
        from include.training.train import train

        return train(open_lake(SETTINGS), run_id, dataset, RetrainParams.parse(params), SETTINGS)

    @task(queue=TRAINING_QUEUE)
    def evaluate(dataset: str, mlflow_run: str, *, run_id: str, params: dict) -> dict:
        from include.promotion.evaluate import evaluate

        return evaluate(open_lake(SETTINGS), run_id, dataset, mlflow_run, RetrainParams.parse(params), SETTINGS)

    @task
    def register(*, run_id: str) -> str:
        from include.promotion.register import register_version

        return register_version(open_lake(SETTINGS), run_id, SETTINGS)

    @task
    @skip_on_error  # beside the way to the gate: it warns, and never fails a run
    def check_model(*, run_id: str) -> dict:
        from include.validation.model import check_model

        return check_model(open_lake(SETTINGS), run_id, SETTINGS)

    @branch(queue=TRAINING_QUEUE)
    def gate(*, run_id: str, params: dict, ti: TaskInstance) -> str:
        from include.promotion.comparison import compare_and_decide
        from include.promotion.gate_words import describe_run
        from include.promotion.publish_decision import decision_url

        store, url = open_lake(SETTINGS), run_url(run_id)
        decision = compare_and_decide(store, run_id, RetrainParams.parse(params), SETTINGS, run_url=url)
        summary = describe_run(decision)
        ti.xcom_push("summary", summary)
        ti.xcom_push("page", decision_url(store, run_id, SETTINGS))
        set_run_note(run_id, summary, waits=decision.action == "ask")
        return NEXT[decision.action]

    @branch
    def follow_answer(given: dict, *, run_id: str) -> str:
        from include.promotion.close_calls import take_answer
        from include.promotion.gate_words import describe_run

        decision, answer = take_answer(open_lake(SETTINGS), run_id, given, SETTINGS)
        set_run_note(run_id, describe_run(decision, answer))
        return NEXT["promote" if answer.promotes else "keep"]

    @task(pool=CHAMPION_POOL, outlets=[CHAMPION], trigger_rule="none_failed_min_one_success")
    def redeploy(*, run_id: str, outlet_events: dict) -> dict:
        from include.promotion.deploy import redeploy

        deployed = redeploy(open_lake(SETTINGS), run_id, SETTINGS)
        outlet_events[CHAMPION].extra = deployed
        return deployed

    @task(trigger_rule="none_failed_min_one_success")
    def keep_champion(*, run_id: str) -> list[str]:
        from include.promotion.close_calls import failed_rules

        return failed_rules(open_lake(SETTINGS), run_id)

    @task(trigger_rule="none_failed_min_one_success")
    def report(*, run_id: str) -> dict:
        from include.promotion.run_report import report

        return report(open_lake(SETTINGS), run_id, SETTINGS)

    @task_group
    def collect():
        shards = list_new_images()
        preflight() >> [snapshot_base(), snapshot_uploads()] >> anything_new() >> shards
        return describe.expand(shard=shards)

    @task_group
    def check(described):
        dataset = publish_dataset()
        described >> deduplicate() >> check_labels() >> sample() >> validate() >> dataset
        return dataset

    @task_group(group_id="train")
    def learn(dataset):
        trained, version = train(dataset), register()
        tune(dataset) >> trained
        evaluate(dataset, trained) >> version >> check_model()
        return version

    @task_group
    def release(version):
        choice, promoted, kept, end = gate(), redeploy(), keep_champion(), report()
        version >> choice
        choice >> Label("better") >> promoted >> end
        choice >> Label("not better") >> kept >> end
        if SETTINGS.gate.close_calls == "ask":
            asked = ask_person()
            choice >> Label("close call") >> asked
            follow_answer(asked.output) >> [promoted, kept]

    release(learn(check(collect())))


retrain()
