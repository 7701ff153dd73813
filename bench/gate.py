"""How often the gate is right: by simulation from real scores, and on real models; writes docs/gate.md.

python -m bench.gate [--photos FOLDER] [--help]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.document import number, table
from bench.gate_models import BASE, equal_models, open_trainer, planted_models, scratch_models
from bench.gate_simulation import RUNS_OF_DRIFT, SOUND, World, measure_rates
from bench.lakes import RUN, check, fill, prepare
from bench.measurement import say
from bench.question import QUESTION, SOURCES
from include.dataset.manifest import to_manifest
from include.dataset.publish import STATUS_COLUMNS
from include.evaluation.metrics import Bools, Floats, average_precision, bootstrap_weights, roc_auc
from include.lake import layout
from include.lake.formats import write_table
from include.promotion.comparison import limits_of
from include.promotion.differences import PER, brier_losses
from include.promotion.gate import Limits, decide
from include.promotion.gate_photos import GatePhotos, describe_photos, list_test_photos
from include.promotion.gate_words import shorten
from include.promotion.margin import SPREAD, smallest_margin
from include.records import ModelVersion, VersionScores
from include.settings import ROOT, Settings

DOCUMENT = ROOT / "docs" / "gate.md"
TITLE = "# What the gate promises, and how often it keeps it"
SIZES = (80, 200, 721, 2000, 10_000, 50_000)
SMALLEST = 1e-4  # probability in a log loss
PROMISE = """\
**What the gate promises.** A new model serves only if the photos of the test split show, with 95 % confidence, that
it is not worse by more than the margin: not than the model that serves now, and not than the *reference*, the last
model that was proven better than the one before it. So many small losses cannot add up to more than about one margin.
A model that is as good as the champion passes nearly always. What the photos cannot settle is a *close call*: the
champion stays, unless you set `CAT_GATE__CLOSE_CALLS` to `promote` or `ask`.

**What it does not promise.** It sees what the test photos of the lake show, and no more. A model that fails on a
small group of photos may pass; each decision says how many sure errors it cannot see. The same test photos decide
again and again, so a lucky model keeps its luck. Photos from elsewhere are not among them.

**The measure.** P(positive) of each photo misses the truth by d, and d squared is its loss: the Brier score. Times
1,000 it reads as *sure errors per 1,000 photos*: a wrong verdict that was certain counts 1, an undecided one 1/4. A
95 % interval of the paired differences decides, with two more photos in it, one won and one lost for certain ([ADR
32](adr/0032-the-gate-tests-that-a-challenger-is-not-worse.md)):

- *better*: the lower bound lies above minus the margin, against champion and reference;
- *not better*: the difference itself lies below minus the margin, or a hard rule fails: a picture on two splits, a
  photo without a score, a floor of precision or recall, a slice that is worse beyond doubt, calibration, latency,
  memory;
- *close call*: the rest."""
MARGINS = """\
The margin is `CAT_GATE__MARGIN`. Left empty it follows from the number of test photos: the smallest with which a
challenger that is equal in truth passes in 98 of 100 comparisons, when it differs from the champion by a standard
deviation of {spread:g} in squared error from photo to photo ({scratch:g} for `scratch`). A margin with which fewer
than 90 of 100 would pass is refused before training."""
PAIRED = """\
The standard deviation from photo to photo between two models that are equal in truth, here: {spreads}."""
SCRATCH = """\
Networks from scratch that differ by their seed alone, trained on these photos: {spreads}."""
RATES = """\
Each of {chains} lakes has {photos:,} test photos, drawn with replacement from the real ones. {promotions} challengers
that are equal in truth are promoted one after another; then {challengers} of each kind meet champion and reference. A
model's score of a photo is that of a random one of {models} real models, each trained on {share:.0%} of the train
photos. Slices and calibration decide as well, by the default margin, {margin:.1f} sure errors per 1,000 photos;
latency and memory do not. Goals: equal at least 0.90 better, twice the margin at most 0.01."""
DRIFT = """\
Each of {runs} challengers is a quarter of the margin worse than the champion of its time. What the last champion has
lost in truth, in margins, over the {chains} lakes (goal: at most 1):"""
MODELS = """\
Real models, each against the one that learned from all train photos as champion and reference. "Turned": so many of
the train labels of a source are wrong. Brier score and difference are in sure errors per 1,000 photos."""
MEASURES = """\
Which measure shows a weakness: the difference to the same champion in standard errors, of the paired bootstrap for
both areas, of the paired differences for the others. A measure that shows more sees smaller losses on the same
photos. The log loss shows as much or more, but hangs on single photos: one that is wrong and certain counts as much
as hundreds."""


def main(arguments: Sequence[str] | None = None) -> None:
    options = read_options(sys.argv[1:] if arguments is None else arguments)
    with prepare("bench.gate", options) as (settings, scratch, about):
        parts = measure(options, settings, scratch)
    page = [TITLE, "Written by `make bench-gate`, not by hand.", PROMISE]
    options.out.write_text("\n\n".join([*page, *parts, "## The run", table(("run", ""), about.items())]) + "\n")
    say(f"written to {options.out}")


def read_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, and under ``all`` the arguments as they were given."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help=f"a folder with {', '.join(SOURCES)} in it; default: drawings")
    parser.add_argument("--models", type=int, default=6, help="real models that are equal in truth, of each share")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.95, 0.5], help="of the train photos, for these")
    parser.add_argument("--chains", type=int, default=200, help="simulated lakes")
    parser.add_argument("--challengers", type=int, default=5, help="of each kind, for each lake")
    parser.add_argument("--promotions", type=int, default=20, help="before these challengers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scratch", type=int, nargs="*", default=[], help="seeds of networks from scratch, too")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    options = parser.parse_args(arguments)
    options.all = list(arguments)
    return options


def measure(options: argparse.Namespace, settings: Settings, scratch: Path) -> list[str]:
    """The parts of the page."""
    say("filling a lake")
    store = fill(scratch / "lake", settings)
    checked = check(store, settings)
    write_table(store, layout.run_page(RUN, "statuses.parquet"), checked[STATUS_COLUMNS])
    trainer = open_trainer(store, to_manifest(checked, QUESTION), settings)
    test = list_test_photos(store, RUN)
    test = test[test["key"].isin(trainer.manifest["key"])].reset_index(drop=True)  # those that were sampled
    photos = describe_photos(store, test)
    limits = limits_of(settings.retrain_params, settings, photos=len(test))
    planted = dict(planted_models(trainer, seed=options.seed))
    parts = [margins_part()]
    if options.scratch:
        networks = scratch_models(store, trainer.manifest, settings, seeds=options.scratch, folder=scratch)
        parts.append(SCRATCH.format(spreads=spreads_of(photos.is_positive, networks)))
    for share in options.shares:
        models = equal_models(trainer, count=options.models, share=share, seed=options.seed)
        parts.append(shown(rates_part(options, World(photos, models, limits), share)))
    return [*parts, shown(models_part(photos, planted, limits)), shown(measures_part(photos.is_positive, planted))]


def shown(part: str) -> str:
    say(f"\n{part}\n")
    return part


def margins_part() -> str:
    settings, scratch = Settings(network="efficientnet_lite0"), Settings(network="scratch")
    spreads = {"spread": SPREAD["efficientnet_lite0"], "scratch": SPREAD["scratch"]}
    margins = [[number(smallest_margin(size, each)) for size in SIZES] for each in (settings, scratch)]
    head = ("test photos", *(f"{size:,}" for size in SIZES))
    rows = [("`efficientnet_lite0`", *margins[0]), ("`scratch`", *margins[1])]
    return "\n\n".join(["## The margin", MARGINS.format(**spreads), table(head, rows)])


def rates_part(options: argparse.Namespace, world: World, share: float) -> str:
    sizes = {"chains": options.chains, "challengers": options.challengers, "promotions": options.promotions}
    say(f"simulating {options.chains} lakes")
    rates = measure_rates(world, **sizes, seed=options.seed)
    count, photos = world.models.shape
    text = RATES.format(**sizes, photos=photos, models=count, share=share, margin=world.limits.margin)
    names = ("better", "close call", "not better")
    rows = [(kind, *(f"{found[name]:.3f}" for name in names)) for kind, found in rates["outcomes"].items()]
    drift = [
        (kind, *(number(float(value)) for value in (lost.mean(), np.quantile(lost, 0.95), lost.max())))
        for kind, lost in rates["drift"].items()
    ]
    about_drift = DRIFT.format(runs=RUNS_OF_DRIFT, chains=options.chains)
    paired = PAIRED.format(spreads=spreads_of(world.photos.is_positive, world.models))
    title = f"## Rates, for models that each learned from {share:.0%} of the train photos"
    return "\n\n".join(
        [title, text, paired, table(("challenger", *names), rows), about_drift]
        + [table(("challengers that are worse by", "mean", "95 % of lakes", "most"), drift)]
    )


def spreads_of(positive: Bools, models: NDArray[np.float64]) -> str:
    """The least and the greatest, over all pairs of models."""
    losses = [brier_losses(positive, probability) for probability in models]
    spreads = [(one - two).std(ddof=1) for place, one in enumerate(losses) for two in losses[:place]]
    return f"{min(spreads):.4f}" if len(spreads) == 1 else f"{min(spreads):.4f} to {max(spreads):.4f}"


def models_part(photos: GatePhotos, planted: dict[str, Floats], limits: Limits) -> str:
    champion = VersionScores(ModelVersion("1", "1"), planted[BASE], 0.5)
    rows = []
    for name, probability in planted.items():
        challenger = VersionScores(ModelVersion("2", name), probability, 0.5)
        decision = decide(photos, challenger, champion, champion, about_photos=SOUND, limits=limits)
        overall, wrong = decision.comparisons[0].overall, decision.comparisons[0].wrong
        failed = ", ".join(rule.name for rule in decision.rules if rule.result == "failed") or "-"
        brier = f"{PER * brier_losses(photos.is_positive, probability).mean():.1f}"
        rows.append((name, brier, str(wrong), shorten(overall), decision.outcome, failed))
    head = ("model", "Brier score", "wrong verdicts", "difference", "decision", "rules that failed")
    return "\n\n".join(["## Real models", MODELS, table(head, rows)])


def measures_part(positive: Bools, planted: dict[str, Floats]) -> str:
    base = planted.pop(BASE)
    rows = [(name, *(f"{z:.1f}" for z in shows(positive, probability, base))) for name, probability in planted.items()]
    head = ("model", "average precision", "ROC area", "wrong verdicts", "Brier score", "log loss")
    return "\n\n".join(["## Why the Brier score", MEASURES, table(head, rows)])


def shows(positive: Bools, new: Floats, old: Floats) -> list[float]:
    """How many standard errors worse ``new`` is, by each measure."""
    areas = [_of_area(area, positive, new, old) for area in (average_precision, roc_auc)]
    losses = (_errors, brier_losses, _log_losses)
    return [*areas, *(_of_losses(loss(positive, new) - loss(positive, old)) for loss in losses)]


def _of_area(area: Any, positive: Bools, new: Floats, old: Floats) -> float:
    drawn = np.concatenate(
        [
            area(positive, old, weights) - area(positive, new, weights)
            for weights in bootstrap_weights(len(positive), seed=1, resamples=1000)
        ]
    )
    return float(drawn.mean() / max(drawn.std(), 1e-12))


def _of_losses(differences: Floats) -> float:
    error = differences.std(ddof=1) / len(differences) ** 0.5
    return float(differences.mean() / error) if error else 0.0


def _errors(positive: Bools, probability: Floats) -> Floats:
    return ((probability >= 0.5) != positive).astype(float)


def _log_losses(positive: Bools, probability: Floats) -> Floats:
    of_label = np.where(positive, probability, 1 - probability)
    return np.asarray(-np.log(np.clip(of_label, SMALLEST, 1)))


if __name__ == "__main__":
    main()
