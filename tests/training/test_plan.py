"""A training on pixels begins with the same network each time."""

import keras
import numpy as np
import pytest

from include.backbone import FEATURES, SIZE
from include.dataset.examples import Examples
from include.question import Question
from include.settings import Settings
from include.training.head import build_served_network, fit_head
from include.training.hyperparameters import Hyperparameters
from include.training.losses import HEAD
from include.training.plan import TrainingJob, fine_tuning, from_scratch
from tests.models import CLASSES

TRAINED = {*(f"block_{number}_{part}" for number in range(11, 16) for part in ("expand", "depthwise", "project"))}
TRAINED |= {"top", HEAD}


@pytest.fixture(scope="module")
def head() -> keras.Model:
    rng = np.random.default_rng(0)
    embeddings = rng.random((40, FEATURES)).astype(np.float16)
    allowed = np.eye(CLASSES, dtype=np.float32).repeat(10, axis=0)
    examples = Examples(embeddings, allowed, np.ones(40, np.float32), allowed[:, 0] == 1)
    return fit_head(examples, None, Hyperparameters(), l2_penalty=0.1, epochs=1, seed=1)


def assert_equal_weights(first: keras.Model, second: keras.Model) -> None:
    for actual, expected in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def differing_weights(first: keras.Model, second: keras.Model) -> bool:
    return any(not np.array_equal(*pair) for pair in zip(first.get_weights(), second.get_weights(), strict=True))


def test_from_scratch_builds_equal_networks_for_one_seed() -> None:
    job = from_scratch(Settings(network="scratch", image_size=32), epochs=4)
    first = job.build()
    keras.utils.set_random_seed(77)  # whatever happened in between
    assert_equal_weights(job.build(), first)
    other = from_scratch(Settings(network="scratch", image_size=32, seed=1), epochs=4)
    assert differing_weights(other.build(), first)


def test_from_scratch_follows_the_settings() -> None:
    settings = Settings(network="scratch", image_size=48, batch_size=16, learning_rate=0.002, seed=9)
    job = from_scratch(settings, epochs=4)
    assert job.build().input_shape == (None, 48, 48, 3)
    assert (job.image_size, job.batch_size, job.learning_rate, job.epochs, job.seed) == (48, 16, 0.002, 4, 9)
    assert all(layer.trainable for layer in job.build().layers)


def test_from_scratch_has_an_output_for_each_source_of_the_question() -> None:
    question = Question(sources=("circles", "squares", "stars"), positive=("stars",))
    job = from_scratch(Settings(network="scratch", image_size=32, question=question), epochs=4)
    assert job.question == question
    assert job.build().output_shape == (None, 3)


@pytest.fixture(scope="module")
def job(head: keras.Model) -> TrainingJob:
    return fine_tuning(head, Settings(), epochs=2)


def test_fine_tuning_builds_the_served_network_each_time(head: keras.Model, job: TrainingJob) -> None:
    first = job.build()
    assert (first.input_shape, first.output_shape) == ((None, SIZE, SIZE, 3), (None, CLASSES))
    assert_equal_weights(first, build_served_network(head))
    assert_equal_weights(job.build(), first)
    assert (job.image_size, job.epochs, job.seed) == (SIZE, 2, Settings().seed)


def test_fine_tuning_trains_only_the_last_five_blocks_and_the_head(job: TrainingJob) -> None:
    network = job.build()
    trained = {layer.name for layer in network.layers if layer.trainable_weights}
    assert trained == TRAINED
    assert len(network.trainable_weights) == 2 * len(TRAINED)
