"""The loss of labels that allow several classes, and the metric of the positive classes; known answers."""

from collections.abc import Sequence

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from include.dataset.examples import allowed_classes
from include.question import NEGATIVE, POSITIVE, Question
from include.records import UNKNOWN_CLASS
from include.training.losses import PositiveAveragePrecision, partial_label_loss
from tests.models import CLASSES

SHARES = np.array([0.5, 0.2, 0.2, 0.1])  # of the four classes
LOGITS = np.log(SHARES).astype(np.float32)  # what a softmax turns into those shares
NEGATIVES = [0, 1, 1, 1]  # all classes but the first
TWO_POSITIVES = Question(positive=("cats", "misc"))


def loss_of(allowed: Sequence[float], logits: Sequence[float] | np.ndarray = LOGITS) -> float:
    return float(partial_label_loss(np.array([allowed], np.float32), np.array([logits], np.float32))[0])


def gradient_of(allowed: Sequence[float], logits: Sequence[float] | np.ndarray = LOGITS) -> np.ndarray:
    given = tf.constant([logits], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = partial_label_loss(tf.constant([allowed], tf.float32), given)
    return np.asarray(tape.gradient(loss, given))[0]


@pytest.mark.parametrize(
    ("allowed", "probability"),
    [
        ([1, 0, 0, 0], 0.5),
        ([0, 0, 0, 1], 0.1),
        (NEGATIVES, 0.5),
        ([0, 1, 1, 0], 0.4),
        ([1, 0, 0, 1], 0.6),
        ([1, 1, 1, 1], 1.0),
    ],
)
def test_the_loss_is_minus_log_of_what_the_label_allows(allowed: list[int], probability: float) -> None:
    assert loss_of(allowed) == pytest.approx(-np.log(probability), abs=1e-6)
    assert loss_of(allowed, LOGITS + 7) == pytest.approx(-np.log(probability), abs=1e-5)  # only differences count


def test_with_one_allowed_class_it_is_cross_entropy() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (50, CLASSES)).astype(np.float32)
    allowed = np.eye(CLASSES, dtype=np.float32)[np.arange(50) % CLASSES]
    expected = keras.losses.categorical_crossentropy(allowed, logits, from_logits=True)
    np.testing.assert_allclose(partial_label_loss(allowed, logits), expected, rtol=1e-4, atol=1e-5)


def test_a_negative_label_pulls_each_negative_class_by_its_share() -> None:
    np.testing.assert_allclose(gradient_of([1, 0, 0, 0]), [-0.5, 0.2, 0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(gradient_of(NEGATIVES), [0.5, -0.2, -0.2, -0.1], atol=1e-6)


@pytest.mark.parametrize("allowed", [[1, 0, 0, 0], NEGATIVES, [1, 1, 1, 1]])
@pytest.mark.parametrize("logits", [[200, -200, -200, -200], [-200, 200, 200, 200], [0, 0, 0, 0], [1e4, 0, 0, -1e4]])
def test_certain_and_wrong_networks_still_have_a_finite_gradient(allowed: list[int], logits: list[float]) -> None:
    assert np.isfinite(loss_of(allowed, logits))
    assert np.isfinite(gradient_of(allowed, logits)).all()


def labelled(*photos: tuple[str, str]) -> pd.DataFrame:
    """A manifest of photos with these classes and labels."""
    return pd.DataFrame(photos, columns=["class_name", "label"])


def test_with_two_positive_sources_a_users_answer_allows_all_classes_on_its_side() -> None:
    manifest = labelled(
        ("cats", POSITIVE), ("misc", POSITIVE), ("dogs", NEGATIVE), (UNKNOWN_CLASS, POSITIVE), (UNKNOWN_CLASS, NEGATIVE)
    )
    expected = [[1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [1, 0, 0, 1], [0, 1, 1, 0]]
    np.testing.assert_array_equal(allowed_classes(manifest, TWO_POSITIVES), expected)


def test_with_two_positive_sources_the_loss_of_a_users_answer_is_that_of_the_sum() -> None:
    """P(positive) is 0.5 + 0.1; a positive answer does not say which of the two sources a photo resembles."""
    yes, no = allowed_classes(labelled((UNKNOWN_CLASS, POSITIVE), (UNKNOWN_CLASS, NEGATIVE)), TWO_POSITIVES)
    assert loss_of(yes) == pytest.approx(-np.log(0.6), abs=1e-6)
    assert loss_of(no) == pytest.approx(-np.log(0.4), abs=1e-6)
    np.testing.assert_allclose(gradient_of(yes), [0.5 - 5 / 6, 0.2, 0.2, 0.1 - 1 / 6], atol=1e-6)


def test_average_precision_ignores_confusion_among_negative_classes() -> None:
    metric = PositiveAveragePrecision([0])
    allowed = np.eye(4, dtype=np.float32)
    logits = np.array([[3, 0, 0, 0], [1, 0, 9, 0], [1, 9, 0, 0], [1, 9, 0, 0]], np.float32)  # negatives mixed up
    metric.update_state(allowed, logits)
    assert float(metric.result()) == pytest.approx(1, abs=0.01)
    metric.reset_state()
    metric.update_state(allowed, -logits)  # the only positive photo comes last of four
    assert float(metric.result()) < 0.3


def test_average_precision_of_two_positive_classes_ranks_by_their_sum() -> None:
    """Each positive photo has a larger sum than each negative one, though no single class shows it."""
    metric = PositiveAveragePrecision(TWO_POSITIVES.positive_classes)
    allowed = np.array([[1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 1, 0]], np.float32)
    shares = [[0.3, 0.1, 0.3, 0.3], [0.01, 0.2, 0.24, 0.55], [0.4, 0.3, 0.25, 0.05], [0.05, 0.3, 0.25, 0.4]]
    metric.update_state(allowed, np.log(shares).astype(np.float32))
    assert float(metric.result()) == pytest.approx(1, abs=0.01)
