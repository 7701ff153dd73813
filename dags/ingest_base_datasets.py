"""
### Bring the base photos into the lake

**Starts:** by hand, or on `CAT_INGEST_SCHEDULE` (`@monthly` in production, none locally).
Reads what `CAT_BASE_DATA` names: `sample` (pictures drawn by our own code) or a folder that holds
`cats/ dogs/ selfies/ misc/`.

**Leaves:** `base/<source>/<sha256>` in the lake, the original bytes of every photo. Only what is new is written;
running it twice changes nothing. The lake remembers whose base set it holds.

**If it fails:** `claim_lake` says *OtherBaseSet*: the lake belongs to another base set; set `CAT_BASE_DATA` back
or give this one a `CAT_LAKE_URL` of its own. `ingest` says *BaseDataMissing*: the folder or one of its four is missing.
Anything else is the network or the disk: clear the task, it goes on where it stopped.
"""

from airflow.sdk import dag, task

from cat_plugin.defaults import DEFAULT_ARGS, SETTINGS, START
from cat_plugin.failing import no_retry_on_input_error
from include.records import SOURCES


@dag(
    schedule=SETTINGS.ingest_schedule,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    doc_md=__doc__,
    tags=["data"],
)
def ingest_base_datasets():
    @task
    @no_retry_on_input_error
    def claim_lake() -> dict:
        from include.ingestion.base_sets import claim_lake
        from include.lake.opening import open_lake

        return claim_lake(open_lake(), SETTINGS)

    @task(map_index_template="{{ task.op_kwargs['source'] }}", max_active_tis_per_dag=2)
    @no_retry_on_input_error
    def ingest(source: str, lake: dict) -> dict:
        from include.ingestion.base_sets import ingest_source
        from include.lake.opening import open_lake

        return ingest_source(open_lake(), source, base_data=SETTINGS.base_data, seed=lake["seed"])

    ingest.partial(lake=claim_lake()).expand(source=list(SOURCES))


ingest_base_datasets()
