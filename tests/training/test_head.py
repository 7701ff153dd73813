"""The linear head: what it learns, when it stops, and that it gives the same logits inside the served network."""

import io
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from include.backbone import FEATURES, SIZE
from include.backbone.features import features, freeze
from include.dataset.examples import Examples
from include.images.decoding import decode, decode_pixels, decode_twice, to_pixels
from include.training.head import PATIENCE, build_served_network, extract_head, fit_head, score_embeddings
from include.training.hyperparameters import Hyperparameters
from include.training.losses import HEAD
from include.training.safe_keras import load_network
from tests.models import CLASSES, QUESTION
from tests.pictures import drawing, encode

CHOSEN = Hyperparameters(learning_rate=0.01, batch_size=64)
PENALTY = 0.01


def examples_of(embeddings: np.ndarray, allowed: np.ndarray, weights: np.ndarray | None = None) -> Examples:
    """Photos, by default of weight 1; the first class is the positive one."""
    weights = np.ones(len(allowed), np.float32) if weights is None else weights
    return Examples(embeddings.astype(np.float16), allowed.astype(np.float32), weights, allowed[:, 0] == 1)


def gaussians(per_class: int, *, seed: int, spread: float = 1.0) -> Examples:
    """A cloud of embeddings for each class, around centres that never change."""
    centres = np.random.default_rng(0).normal(2, 0.3, (CLASSES, FEATURES))
    classes = np.arange(CLASSES * per_class) % CLASSES
    embeddings = centres[classes] + np.random.default_rng(seed).normal(0, spread, (len(classes), FEATURES))
    return examples_of(embeddings, np.eye(CLASSES)[classes])


def fit(train: Examples, val: Examples | None = None, *, epochs: int = 5, seed: int = 1, **options: Any) -> keras.Model:
    chosen = options.pop("chosen", CHOSEN)
    return fit_head(train, val, chosen, epochs=epochs, seed=seed, **({"l2_penalty": PENALTY} | options))


def best_classes(head: keras.Model, examples: Examples) -> np.ndarray:
    return score_embeddings(head, examples.embeddings).argmax(axis=1)


def accuracy(head: keras.Model, examples: Examples) -> float:
    return float((best_classes(head, examples) == examples.allowed.argmax(axis=1)).mean())


def all_weights(network: keras.Model) -> np.ndarray:
    return np.concatenate([values.ravel() for values in network.get_layer(HEAD).get_weights()])


class Curves:
    """The losses that were reported of each epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def __call__(self, epoch: int, losses: dict[str, float]) -> None:
        assert epoch == len(self.epochs)
        self.epochs.append(dict(losses))

    def of(self, name: str) -> list[float]:
        return [losses[name] for losses in self.epochs]


def test_separate_clouds_are_classified_correctly() -> None:
    head = fit(gaussians(60, seed=1))
    assert head.input_shape == (None, FEATURES)
    assert accuracy(head, gaussians(50, seed=2)) > 0.97
    logits = score_embeddings(head, gaussians(50, seed=2).embeddings)
    assert logits.shape == (200, CLASSES)
    assert logits.dtype == np.float32


def test_the_same_arguments_give_the_same_weights() -> None:
    train, val = gaussians(30, seed=1), gaussians(10, seed=2)
    chosen = Hyperparameters(learning_rate=0.01, batch_size=32, input_dropout=0.3, label_smoothing=0.1)
    first, same, other = (all_weights(fit(train, val, epochs=2, seed=seed, chosen=chosen)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_label_that_allows_several_classes_teaches_what_it_rules_out() -> None:
    """The last two classes are never named alone; photos of the second one are only known to be negative."""
    train = gaussians(60, seed=1)
    classes = train.allowed.argmax(axis=1)
    allowed = np.array([[1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]])[classes]
    head = fit(examples_of(train.embeddings, allowed))
    test = gaussians(50, seed=2)
    predicted, true = best_classes(head, test), test.allowed.argmax(axis=1)
    assert ((predicted == 0) == (true == 0)).mean() > 0.97
    assert set(predicted[true >= 2]) == {2, 3}


def test_the_weights_of_photos_and_of_positive_photos_count() -> None:
    """Every photo comes twice, once as a positive one and once as a negative one."""
    train = gaussians(30, seed=1)
    both = examples_of(
        np.concatenate([train.embeddings] * 2),
        np.repeat(np.eye(CLASSES)[:2], len(train), axis=0),
        np.repeat(np.array([1, 3], np.float32), len(train)),
    )
    unchanged, positives_first = (
        best_classes(
            fit(both, epochs=15, l2_penalty=1, chosen=Hyperparameters(batch_size=64, positive_weight=weight)), train
        )
        for weight in (1, 9)
    )
    assert (unchanged == 1).mean() > 0.9
    assert (positives_first == 0).mean() > 0.9


def half_wrong(examples: Examples) -> Examples:
    """Every other four have the labels of others, so that certainty costs."""
    wrong = np.arange(len(examples))[:, None] % 8 < 4
    return examples_of(examples.embeddings, np.where(wrong, examples.allowed, examples.allowed[::-1]))


def loss_on(head: keras.Model, examples: Examples) -> float:
    return float(head.evaluate(examples.embeddings, examples.allowed, verbose=0, return_dict=True)["loss"])


def test_it_stops_when_the_loss_on_val_no_longer_falls_and_returns_the_best_epoch() -> None:
    val, curves = half_wrong(gaussians(20, seed=2)), Curves()
    head = fit(gaussians(60, seed=1), val, epochs=60, l2_penalty=1e-4, on_epoch=curves)
    losses = curves.of("val_loss")
    assert len(losses) == int(np.argmin(losses)) + 1 + PATIENCE < 60
    assert loss_on(head, val) == pytest.approx(min(losses), rel=1e-4)


def test_the_best_epoch_is_chosen_with_the_penalty_also_where_all_epochs_run() -> None:
    val, curves = half_wrong(gaussians(20, seed=2)), Curves()
    fast = Hyperparameters(learning_rate=0.02, batch_size=32)
    head = fit(gaussians(60, seed=1), val, epochs=14, l2_penalty=0.08, chosen=fast, on_epoch=curves)
    losses = curves.of("val_loss")
    assert len(losses) == 14
    assert np.argmin(losses) != np.argmin(curves.of("val_partial_label_loss"))
    assert loss_on(head, val) == pytest.approx(min(losses), rel=1e-4)


def test_without_val_every_epoch_counts() -> None:
    curves, train = Curves(), half_wrong(gaussians(20, seed=1))
    head = fit(train, None, epochs=PATIENCE + 4, l2_penalty=0, on_epoch=curves)
    assert len(curves.epochs) == PATIENCE + 4
    assert set(curves.epochs[0]) == {"loss", "partial_label_loss"}
    assert curves.of("loss")[-1] < 0.5
    assert accuracy(head, train) == 1


def test_a_feature_that_did_not_vary_in_training_decides_nothing_later() -> None:
    train = gaussians(60, seed=1)
    train.embeddings[:, 7] = 0.5
    head = fit(train, epochs=20, l2_penalty=0.078125)
    changed = gaussians(20, seed=2)
    before, after = changed.embeddings.copy(), changed.embeddings
    before[:, 7], after[:, 7] = 0.5, 1.5
    moved = np.abs(score_embeddings(head, after) - score_embeddings(head, before)).max()
    assert moved < 0.1 < np.abs(score_embeddings(head, after)).max() / 10


FILE_TYPES = {
    "plain JPEG": lambda photo: encode(photo, quality=90),
    "turned by EXIF": lambda photo: encode(photo, exif=turned(6)),
    "mirrored by EXIF": lambda photo: encode(photo.resize((900, 500)), exif=turned(5)),
    "CMYK": lambda photo: encode(photo.convert("CMYK")),
    "palette PNG": lambda photo: encode(of_32_colours(photo), "PNG"),
    "palette PNG with a hole": lambda photo: encode(
        photo.quantize(32, Image.Quantize.FASTOCTREE), "PNG", transparency=3
    ),
    "grey JPEG": lambda photo: encode(photo.convert("L")),
    "16 bits a channel": lambda photo: encode(Image.fromarray(np.asarray(photo.convert("L"), np.uint16) * 257), "PNG"),
    "transparent": lambda photo: encode(faded(photo), "PNG"),
    "WebP": lambda photo: encode(photo, "WEBP"),
    "tiny": lambda photo: encode(photo.resize((16, 16))),
    "narrow": lambda photo: encode(photo.resize((40, 700)), "PNG"),
    "large": lambda photo: encode(photo.resize((3000, 2200))),
    "large, progressive and turned": lambda photo: encode(photo.resize((1400, 3000)), progressive=True, exif=turned(8)),
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def of_32_colours(photo: Image.Image) -> Image.Image:
    return photo.quantize(32, Image.Quantize.FASTOCTREE)


def faded(photo: Image.Image) -> Image.Image:
    """A photo that becomes transparent from left to right."""
    veil = Image.linear_gradient("L").resize(photo.size)
    return Image.merge("RGBA", (*photo.split(), veil))


def grainy(source: str, number: int) -> Image.Image:
    """A drawing with the fine detail of a photo, so that pixels depend on how it was made smaller."""
    photo = ImageOps.exif_transpose(Image.open(io.BytesIO(drawing(source, number)))).convert("RGB")
    photo = photo.resize((640, 480))
    grain = np.random.default_rng(number).normal(0, 25, (480, 640, 3))
    return Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    """56 files: each file type with a drawing of each source."""
    return {
        f"{name}, {source}": write(grainy(source, number))
        for number, source in enumerate(QUESTION.sources)
        for name, write in FILE_TYPES.items()
    }


@pytest.fixture(scope="module")
def embeddings(bodies: dict[str, bytes]) -> np.ndarray:
    """Their embeddings, as the task `describe` computes them."""
    return features(np.stack([decode_twice(body, SIZE)[1] for body in bodies.values()]))


@pytest.fixture(scope="module")
def head(embeddings: np.ndarray) -> keras.Model:
    """A head that learned these very files, but is not certain about them."""
    allowed = np.eye(CLASSES).repeat(len(FILE_TYPES), axis=0)
    return fit(
        examples_of(embeddings, allowed), chosen=Hyperparameters(batch_size=16, label_smoothing=0.5), l2_penalty=0.08
    )


@pytest.fixture(scope="module")
def served(head: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> keras.Model:
    """As the model server has it: saved, checked as an archive, and loaded in safe mode."""
    path = tmp_path_factory.mktemp("served") / "network.keras"
    build_served_network(head).save(path)
    assert path.stat().st_size < 20_000_000
    return load_network(str(path))


def first_class_of(logits: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.softmax(logits))[:, 0]


def test_facts_and_model_server_decode_any_file_to_the_same_pixels(bodies: dict[str, bytes]) -> None:
    differ = [name for name, body in bodies.items() if (decode_twice(body, SIZE)[1] != decode_pixels(body, SIZE)).any()]
    assert not differ


def test_a_full_decode_gives_other_pixels(bodies: dict[str, bytes]) -> None:
    """Otherwise the test above could not fail."""
    body = bodies["large, cats"]
    assert (to_pixels(decode(body), SIZE) != decode_pixels(body, SIZE)).mean() > 0.1


def test_the_served_network_predicts_for_any_file_what_the_head_predicts_for_its_embedding(
    head: keras.Model, served: keras.Model, bodies: dict[str, bytes], embeddings: np.ndarray
) -> None:
    pixels = np.stack([decode_pixels(body, SIZE) for body in bodies.values()])
    expected, found = first_class_of(score_embeddings(head, embeddings)), first_class_of(freeze(served)(pixels))
    assert ((expected > 0.1) & (expected < 0.9)).sum() > 10  # where a small difference shows
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_the_head_extracted_from_the_served_network_gives_the_same_logits(
    head: keras.Model, served: keras.Model, embeddings: np.ndarray
) -> None:
    expected = score_embeddings(head, embeddings)
    found = score_embeddings(extract_head(served), embeddings)
    assert expected.std() > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
