"""Whether a run that is cleared, whole and late, can still mean what it meant."""

from include.errors import ModelError
from include.lake import layout
from include.lake.base import ObjectStore
from include.settings import Settings


def check_champion_unmoved(store: ObjectStore, run: str, settings: Settings) -> None:
    """Raises ModelError where the gate has decided the run before, and `champion` has moved on since: what the run
    trains is older than what serves. A run that the gate did not decide yet, and a registry without champion, pass.
    """
    if not store.exists(layout.run_decision(run)):
        return
    from include.promotion.comparison import read_decision  # MLflow: only for the few runs that are cleared
    from include.registry.versions import champion_version
    from include.training.mlflow_runs import connect

    decision, champion = read_decision(store, run), champion_version(connect(settings))
    if champion not in (None, decision.challenger, decision.predecessor):
        decided = f"the gate has decided this run about version {decision.challenger}"
        raise ModelError(f"{decided}, and `champion` has moved on to {champion} since: trigger retrain again")
