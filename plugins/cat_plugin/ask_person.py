"""The task that asks a person about a close call: under *Required Actions* in the Airflow UI, or by REST.

`HITLBranchOperator` would branch by itself, but keeps no record of who answered and why.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import Param

from cat_plugin.defaults import SETTINGS
from include.records import KEEP, PROMOTE, WHY

if TYPE_CHECKING:
    from airflow.providers.standard.operators.hitl import HITLOperator

BODY = """{{ ti.xcom_pull(task_ids="release.gate", key="summary") }}

[The page of the decision]({{ ti.xcom_pull(task_ids="release.gate", key="page") }}) shows the figures, and the photos
on which the models differ. Without an answer within HOURS hours the champion stays; the next run waits until then."""


def ask_person() -> "HITLOperator":
    """Its XCom holds the option that was chosen, who chose it, and why."""
    from airflow.providers.standard.operators.hitl import HITLOperator  # slow, and only for those who want to be asked

    return HITLOperator(
        task_id="ask_person",
        subject="Close call: promote version {{ ti.xcom_pull(task_ids='train.register') }}?",
        body=BODY.replace("HOURS", f"{SETTINGS.gate.answer_hours:g}"),
        options=[PROMOTE, KEEP],
        defaults=KEEP,
        params={WHY: Param("", type="string", title="Why", description="One sentence; it stays with the version.")},
        response_timeout=timedelta(hours=SETTINGS.gate.answer_hours),
    )
