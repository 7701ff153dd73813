"""
### Ingest the base photos into the lake

**Starts:** by hand, or on `CAT_INGEST_SCHEDULE` (`@monthly` in production, none locally). Reads what `CAT_BASE_DATA`
names: `sample` (pictures drawn by our own code) or a folder that holds one folder per source of the question; by
default `cats/ dogs/ selfies/ misc/`.

**Leaves:** `base/<source>/<sha256>` in the lake, the original bytes of every photo. Only what is new is written;
running it twice changes nothing. The lake remembers its base set and its question. The task `follow_folder` says in its
log and its return value which photos are new, which moved to the folder of another source, and which are gone. A moved
photo enters the lake under its new source too. By default nothing is taken away: a moved photo then has both labels,
and is not used where they differ; a gone one goes on training. With the param `follow` the lake takes both over: each
photo that goes leaves `tombstones/<its key>.json`, and one that comes back to its folder counts again. Facts stay, and
older dataset versions with them.

**If it fails:** the line marked ERROR in the log of the failed task says in a sentence what is wrong, and the cure.
`claim_lake` says *BaseDataMissing*: the folder or some of its sources have no photos; nothing was written. *OtherLake*:
the lake holds other photos, or belongs to another question; set `CAT_BASE_DATA` or `CAT_QUESTION__...` back, or give
this one a `CAT_LAKE_URL` of its own. *UnsafeStore*: the store does not keep what is created once; use another one.
`follow_folder` says *CannotFollow*: more than half of a source would go, as when the folder is not mounted or half
copied; nothing was deleted. Any other error is of the network or the disk: clear the task, it continues where it
stopped.
"""

from airflow.sdk import dag

from cat_plugin.defaults import DAG_ARGS, SETTINGS, form
from cat_plugin.tasks import task
from include.lake.opening import open_lake
from include.params import IngestParams


@dag(**DAG_ARGS, schedule=SETTINGS.ingest_schedule, doc_md=__doc__, tags=["data"], params=form(IngestParams()))
def ingest_base_datasets():
    @task
    def claim_lake(*, run_id: str, params: dict) -> dict:
        from include.ingestion.base_sets import claim_lake
        from include.lake.lake_check import check_lake
        from include.lake.layout import run_name

        IngestParams.parse(params)
        run_name(run_id)  # an id that cannot be a key is refused before anything is read
        check_lake(SETTINGS)
        return claim_lake(open_lake(SETTINGS), SETTINGS)

    @task(map_index_template="{{ task.op_kwargs['source'] }}", max_active_tis_per_dag=2)
    def ingest(source: str, lake: dict, *, run_id: str) -> dict:
        from include.ingestion.intake import ingest_source

        return ingest_source(open_lake(SETTINGS), run_id, source, lake, base_data=SETTINGS.base_data)

    @task
    def follow_folder(*, run_id: str, params: dict) -> dict:
        from include.ingestion.follow_folder import follow_folder

        follow = IngestParams.parse(params).follow
        return follow_folder(open_lake(SETTINGS), run_id, SETTINGS.question.sources, follow=follow)

    ingest.partial(lake=claim_lake()).expand(source=list(SETTINGS.question.sources)) >> follow_folder()


ingest_base_datasets()
