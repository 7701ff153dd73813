"""
### Ingest the base photos into the lake

**Starts:** by hand, or on `CAT_INGEST_SCHEDULE` (`@monthly` in production, none locally). Reads what `CAT_BASE_DATA`
names: `sample` (pictures drawn by our own code) or a folder that holds one folder per source of the question; by
default `cats/ dogs/ selfies/ misc/`.

**Leaves:** `base/<source>/<sha256>` in the lake, the original bytes of every photo. Only what is new is written;
running it twice changes nothing. The lake remembers its base set and its question.

**If it fails:** `claim_lake` says *BaseDataMissing*: the folder or some of its sources have no photos; nothing was
written. *OtherLake*: the lake holds other photos, or belongs to another question; set `CAT_BASE_DATA` or
`CAT_QUESTION__...` back, or give this one a `CAT_LAKE_URL` of its own. *UnsafeStore*: the store does not keep what is
created once; use another one. Any other error is of the network or the disk: clear the task, it continues where it
stopped.
"""

from airflow.sdk import dag, task

from cat_plugin.defaults import DAG_ARGS, SETTINGS
from include.lake.opening import open_lake


@dag(**DAG_ARGS, schedule=SETTINGS.ingest_schedule, doc_md=__doc__, tags=["data"])
def ingest_base_datasets():
    @task
    def claim_lake() -> dict:
        from include.ingestion.base_sets import claim_lake

        return claim_lake(open_lake(SETTINGS), SETTINGS)

    @task(map_index_template="{{ task.op_kwargs['source'] }}", max_active_tis_per_dag=2)
    def ingest(source: str, lake: dict) -> dict:
        from include.ingestion.intake import ingest_source

        return ingest_source(open_lake(SETTINGS), source, lake, base_data=SETTINGS.base_data)

    ingest.partial(lake=claim_lake()).expand(source=list(SETTINGS.question.sources))


ingest_base_datasets()
