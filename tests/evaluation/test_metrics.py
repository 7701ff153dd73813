import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from include.evaluation.metrics import (
    average_precision,
    bootstrap_weights,
    compute_metrics,
    positive_log_odds,
    positive_probability,
    roc_auc,
)
from include.records import DecisionRule, Interval

NOTHING = Interval(0, 0, 0)
CERTAIN = Interval(1, 1, 1)


def bools(text: str) -> np.ndarray:
    """``"c..c"``: two cats around two others."""
    return np.array([letter == "c" for letter in text])


def random_case(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    is_cat = rng.random(count) < 0.3
    return is_cat, np.clip(rng.normal(0.35 + 0.3 * is_cat, 0.2), 0, 1).round(2)


def test_perfect_scores_are_certain():
    found = compute_metrics(bools("cc.."), np.array([0.9, 0.8, 0.2, 0.1]), threshold=0.5, seed=0, resamples=50)
    assert list(found) == ["precision", "recall", "f1", "average_precision", "roc_auc", "calibration_error"]
    assert found["precision"].value == found["recall"].value == found["average_precision"].value == 1
    many = compute_metrics(bools("c." * 50), np.tile([1.0, 0.0], 50), threshold=0.5, seed=0, resamples=50)
    assert many.pop("calibration_error") == NOTHING
    assert set(many.values()) == {CERTAIN}


def test_scores_that_say_nothing_are_worth_the_share_of_cats():
    found = compute_metrics(bools("c..." * 25), np.full(100, 0.5), threshold=0.5, seed=0, resamples=200)
    assert found["precision"].value == found["average_precision"].value == 0.25
    assert found["recall"] == CERTAIN
    assert found["f1"].value == pytest.approx(0.4)
    assert 0.1 < found["precision"].low < 0.25 < found["precision"].high < 0.4


def test_nothing_called_a_cat_counts_as_nothing():
    found = compute_metrics(bools("c." * 20), np.tile([0.4, 0.1], 20), threshold=0.5, seed=0, resamples=50)
    assert found["precision"] == found["recall"] == found["f1"] == NOTHING
    assert found["average_precision"].value == 1  # needs no threshold


def test_without_cats_every_figure_is_nothing():
    found = compute_metrics(bools("...."), np.full(4, 0.9), threshold=0.5, seed=0, resamples=50)
    assert found.pop("calibration_error").value == pytest.approx(0.9)
    assert set(found.values()) == {NOTHING}


def test_figures_are_those_of_sklearn():
    is_cat, probability = random_case()
    said = probability >= 0.5
    found = compute_metrics(is_cat, probability, threshold=0.5, seed=0, resamples=10)
    del found["calibration_error"]
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        {
            "precision": precision_score(is_cat, said),
            "recall": recall_score(is_cat, said),
            "f1": f1_score(is_cat, said),
            "average_precision": average_precision_score(is_cat, probability),
            "roc_auc": roc_auc_score(is_cat, probability),
        }
    )


@pytest.mark.parametrize("ties", [1, 2, 17])
@pytest.mark.parametrize(("ours", "sklearns"), [(average_precision, average_precision_score), (roc_auc, roc_auc_score)])
def test_the_area_of_every_resample_is_that_of_sklearn(ours, sklearns, ties):
    """Also where many photos share a score: at one decimal there are at most eleven scores."""
    rng = np.random.default_rng(ties)
    is_cat, probability = rng.random(200) < 0.3, rng.random(200).round(ties)
    weights = np.concatenate(list(bootstrap_weights(200, seed=0, resamples=120)))
    found = ours(is_cat, probability, weights)
    expected = [sklearns(is_cat, probability, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_resamples_without_cats_count_as_nothing():
    weights = np.array([[0, 0, 2, 2], [1, 1, 1, 1]])
    assert list(average_precision(bools("cc.."), np.array([0.9, 0.8, 0.2, 0.1]), weights)) == [0, 1]


@pytest.mark.parametrize(("excess", "expected"), [(0.0, 0.0), (0.15, 0.15)])
def test_the_calibration_error_is_how_much_too_high_the_scores_are(excess, expected):
    """Freed of chance: ten bins of thirty photos each would show 0.08 for scores that are exactly right."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        true = rng.uniform(0.1, 0.8, 300)
        measured = compute_metrics(rng.random(300) < true, true + excess, threshold=0.5, seed=seed, resamples=200)
        found.append(measured["calibration_error"])
    assert np.mean([one.value for one in found]) == pytest.approx(expected, abs=0.035)
    assert sum(one.low <= expected <= one.high for one in found) >= 18


def test_a_figure_lies_inside_its_interval_which_narrows_with_more_photos():
    is_cat, probability = random_case()
    few = compute_metrics(is_cat, probability, threshold=0.5, seed=0, resamples=200)
    many = compute_metrics(np.tile(is_cat, 9), np.tile(probability, 9), threshold=0.5, seed=0, resamples=200)
    for name, figure in few.items():
        assert 0 <= figure.low < figure.value < figure.high <= 1
        if name == "calibration_error":
            continue  # copies of the same photos are no new evidence: their chance errors stay
        assert many[name].value == pytest.approx(figure.value)
        assert many[name].high - many[name].low == pytest.approx((figure.high - figure.low) / 3, rel=0.35)


def test_the_seed_settles_the_intervals():
    is_cat, probability = random_case()
    one, same, other = (
        compute_metrics(is_cat, probability, threshold=0.5, seed=seed, resamples=50) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
    assert one["f1"].value == other["f1"].value


SHARES = np.array([[0.64, 0.16, 0.16, 0.04], [0.25, 0.25, 0.25, 0.25], [0.04, 0.16, 0.16, 0.64]])
LOGITS = np.log(SHARES).astype(np.float32)


def test_the_log_odds_are_those_of_a_cat_against_all_other_kinds():
    expected = np.log(SHARES[:, 0] / (1 - SHARES[:, 0]))
    np.testing.assert_allclose(positive_log_odds(LOGITS), expected, rtol=1e-5)
    np.testing.assert_allclose(positive_log_odds(LOGITS + 7), expected, rtol=1e-5)  # only differences count


@pytest.mark.parametrize(
    ("slope", "intercept", "odds"),
    [(1, 0, 16 / 9), (2, 0, (16 / 9) ** 2), (0.5, 0, 4 / 3), (1, np.log(3), 16 / 3), (2, -np.log(2), 128 / 81)],
)
def test_the_probability_has_the_odds_that_the_rule_makes_of_them(slope, intercept, odds):
    rule = DecisionRule(0.5, 0.4, 0.6, slope, intercept)
    probability = positive_probability(LOGITS[:1], rule)
    assert probability.dtype == np.float64
    assert probability == pytest.approx(odds / (1 + odds), rel=1e-6)


def test_without_a_scale_the_probability_is_the_share_of_the_cats_in_a_softmax():
    np.testing.assert_allclose(positive_probability(LOGITS, DecisionRule(0.5, 0.4, 0.6)), [0.64, 0.25, 0.04], rtol=1e-6)


def test_large_logits_do_not_overflow():
    sure = np.array([[5000, 0, 0, 0], [-5000, 0, 0, 0], [0, 5000, -5000, 0]], np.float32)
    np.testing.assert_array_equal(positive_probability(sure, DecisionRule(0.5, 0.4, 0.6, 3.0, 1.0)), [1, 0, 0])
