"""Whether a challenger may replace the champion. Pure: scores in, decision out."""

import numpy as np
from numpy.typing import NDArray

from include.evaluation.metrics import RESAMPLES, average_precision, bootstrap_weights
from include.records import Decision, Rule, VersionScores

Bools = NDArray[np.bool_]


def decide(
    is_positive: Bools,
    from_base: Bools,
    challenger: VersionScores,
    champion: VersionScores | None,
    *,
    about_photos: Rule,
    min_precision: float,
    min_recall: float,
    seed: int,
) -> Decision:
    """Compare two models on the same test photos; every rule carries its metrics, passed or not.

    ``is_positive`` and ``from_base`` are bool, shape (photos,). The probabilities are NaN where a model failed.
    ``about_photos`` is the rule that says whether the photos can measure a model at all. Floors count on the base
    photos only. Without a champion that could be scored, only the floors decide.
    """
    rules = [about_photos, _answers(challenger)]
    if all(rule.passed for rule in rules):
        predicted = challenger.probability >= challenger.threshold
        hits = int((is_positive & predicted & from_base).sum())
        rules.append(_floor("precision", hits, int((predicted & from_base).sum()), min_precision))
        rules.append(_floor("recall", hits, int((is_positive & from_base).sum()), min_recall))
        rules.append(_not_worse(is_positive, challenger, champion, seed))
    return Decision(
        better=all(rule.passed for rule in rules),
        challenger=challenger.version,
        predecessor=champion.version if champion else None,
        rules=tuple(rules),
    )


def average_precision_differences(
    is_positive: Bools, new: NDArray, old: NDArray, *, seed: int, resamples: int = RESAMPLES
) -> NDArray:
    """Average precision of ``new`` minus that of ``old`` on the same photos, once per paired bootstrap resample.

    float64, shape (resamples,): both models are scored on the same drawn photos (Efron & Tibshirani, 1993, ch. 8 & 16).
    """
    differences = [
        average_precision(is_positive, new, weights) - average_precision(is_positive, old, weights)
        for weights in bootstrap_weights(len(is_positive), seed=seed, resamples=resamples)
    ]
    return np.concatenate(differences)


def _answers(challenger: VersionScores) -> Rule:
    if challenger.problem:
        return Rule("challenger scores every photo", False, f"it cannot be scored: {challenger.problem}")
    missing = int(np.isnan(challenger.probability).sum())
    return Rule(
        "challenger scores every photo", not missing, f"{missing} of {len(challenger.probability)} photos got no score"
    )


def _floor(name: str, hits: int, of: int, minimum: float) -> Rule:
    value = hits / of if of else 0.0
    return Rule(f"minimum {name}", value >= minimum, f"{name} {value:.3f} ({hits} of {of}), at least {minimum:.3f}")


def _not_worse(is_positive: Bools, challenger: VersionScores, champion: VersionScores | None, seed: int) -> Rule:
    name = "not worse than the champion"
    if champion is None:
        return Rule(name, True, "there is no champion yet: floors only")
    if champion.problem or np.isnan(champion.probability).any():
        reason = champion.problem or "it gives no score for some photos"
        return Rule(name, True, f"version {champion.version} cannot be compared with: {reason}; floors only")
    differences = average_precision_differences(is_positive, challenger.probability, champion.probability, seed=seed)
    low, middle, high = np.quantile(differences, [0.025, 0.5, 0.975])
    measured = f"average precision {middle:+.4f} against version {champion.version}, 95 % of resamples in "
    return Rule(name, bool(high >= 0), f"{measured}{low:+.4f} to {high:+.4f}; not better when all of it is below zero")
