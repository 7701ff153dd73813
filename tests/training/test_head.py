"""The linear head: what it learns, when it stops, and that as a part of the served network it says the same."""

import io

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from include.backbone import FEATURES, SIZE
from include.backbone.features import features, freeze
from include.dataset.examples import Examples
from include.images.decoding import decode, decode_pixels, decode_twice, to_pixels
from include.records import CLASSES, SOURCES
from include.training.head import PATIENCE, build_served_network, extract_head, fit_head, score_features
from include.training.hyperparameters import Hyperparameters
from include.training.losses import HEAD
from include.training.safe_keras import load_network
from tests.pictures import drawing, encode

CHOSEN = Hyperparameters(learning_rate=0.01, batch_size=64)
PENALTY = 0.01


def gaussians(per_kind: int, *, seed: int, spread: float = 1.0) -> Examples:
    """Four clouds of features around centres that never change."""
    centres = np.random.default_rng(0).normal(2, 0.3, (CLASSES, FEATURES))
    kinds = np.arange(CLASSES * per_kind) % CLASSES
    vectors = centres[kinds] + np.random.default_rng(seed).normal(0, spread, (len(kinds), FEATURES))
    return Examples(
        vectors.astype(np.float16), np.eye(CLASSES, dtype=np.float32)[kinds], np.ones(len(kinds), np.float32)
    )


def fit(train: Examples, val: Examples | None = None, *, epochs: int = 5, seed: int = 1, **options) -> keras.Model:
    chosen = options.pop("chosen", CHOSEN)
    return fit_head(train, val, chosen, epochs=epochs, seed=seed, **({"l2_penalty": PENALTY} | options))


def best_kinds(head: keras.Model, examples: Examples) -> np.ndarray:
    return score_features(head, examples.features).argmax(axis=1)


def accuracy(head: keras.Model, examples: Examples) -> float:
    return float((best_kinds(head, examples) == examples.allowed.argmax(axis=1)).mean())


def all_weights(network: keras.Model) -> np.ndarray:
    return np.concatenate([values.ravel() for values in network.get_layer(HEAD).get_weights()])


class Curves:
    """What was told of each epoch."""

    def __init__(self) -> None:
        self.told: list[dict[str, float]] = []

    def __call__(self, epoch: int, losses: dict[str, float]) -> None:
        assert epoch == len(self.told)
        self.told.append(dict(losses))

    def of(self, name: str) -> list[float]:
        return [losses[name] for losses in self.told]


def test_clouds_that_lie_apart_are_told_apart():
    head = fit(gaussians(60, seed=1))
    assert head.input_shape == (None, FEATURES)
    assert accuracy(head, gaussians(50, seed=2)) > 0.97
    logits = score_features(head, gaussians(50, seed=2).features)
    assert (logits.shape, logits.dtype) == ((200, CLASSES), np.float32)


def test_the_same_arguments_give_the_same_weights():
    train, val = gaussians(30, seed=1), gaussians(10, seed=2)
    chosen = Hyperparameters(learning_rate=0.01, batch_size=32, input_dropout=0.3, label_smoothing=0.1)
    one, again, other = (all_weights(fit(train, val, epochs=2, seed=seed, chosen=chosen)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_a_label_that_leaves_open_what_a_photo_shows_teaches_what_it_rules_out():
    """Selfies and misc are never named alone; dogs are called only "not a cat"."""
    train = gaussians(60, seed=1)
    kinds = train.allowed.argmax(axis=1)
    allowed = np.array([[1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], np.float32)[kinds]
    head = fit(Examples(train.features, allowed, train.weights))
    test = gaussians(50, seed=2)
    said, true = best_kinds(head, test), test.allowed.argmax(axis=1)
    assert ((said == 0) == (true == 0)).mean() > 0.97
    assert set(said[true >= 2]) == {2, 3}


def test_the_weight_of_a_photo_and_of_the_cats_counts():
    """Every photo comes twice, once as a cat and once as a dog."""
    train = gaussians(30, seed=1)
    both = Examples(
        np.concatenate([train.features] * 2),
        np.repeat(np.eye(CLASSES, dtype=np.float32)[:2], len(train), axis=0),
        np.repeat(np.array([1, 3], np.float32), len(train)),
    )
    as_they_are, cats_first = (
        best_kinds(fit(both, epochs=15, l2_penalty=1, chosen=Hyperparameters(batch_size=64, cat_weight=weight)), train)
        for weight in (1, 9)
    )
    assert (as_they_are == 1).mean() > 0.9
    assert (cats_first == 0).mean() > 0.9


def half_wrong(examples: Examples) -> Examples:
    """Every other four have the labels of others, so that being sure is punished."""
    turned = np.arange(len(examples))[:, None] % 8 < 4
    return Examples(examples.features, np.where(turned, examples.allowed, examples.allowed[::-1]), examples.weights)


def loss_on(head: keras.Model, examples: Examples) -> float:
    return head.evaluate(examples.features, examples.allowed, verbose=0, return_dict=True)["loss"]


def test_it_stops_when_the_loss_on_val_falls_no_more_and_returns_the_best_epoch():
    val, curves = half_wrong(gaussians(20, seed=2)), Curves()
    head = fit(gaussians(60, seed=1), val, epochs=60, l2_penalty=1e-4, on_epoch=curves)
    losses = curves.of("val_loss")
    assert len(losses) == int(np.argmin(losses)) + 1 + PATIENCE < 60
    assert loss_on(head, val) == pytest.approx(min(losses), rel=1e-4)


def test_the_best_epoch_is_chosen_with_the_penalty_also_where_all_epochs_run():
    val, curves = half_wrong(gaussians(20, seed=2)), Curves()
    fast = Hyperparameters(learning_rate=0.02, batch_size=32)
    head = fit(gaussians(60, seed=1), val, epochs=14, l2_penalty=0.08, chosen=fast, on_epoch=curves)
    losses = curves.of("val_loss")
    assert len(losses) == 14
    assert np.argmin(losses) != np.argmin(curves.of("val_kind_loss"))
    assert loss_on(head, val) == pytest.approx(min(losses), rel=1e-4)


def test_without_val_every_epoch_counts():
    curves, train = Curves(), half_wrong(gaussians(20, seed=1))
    head = fit(train, None, epochs=PATIENCE + 4, l2_penalty=0, on_epoch=curves)
    assert len(curves.told) == PATIENCE + 4
    assert set(curves.told[0]) == {"loss", "partial_label_loss"}
    assert curves.of("loss")[-1] < 0.5
    assert accuracy(head, train) == 1


def test_a_feature_that_never_varied_in_training_decides_nothing_later():
    train = gaussians(60, seed=1)
    train.features[:, 7] = 0.5
    head = fit(train, epochs=20, l2_penalty=0.078125)
    changed = gaussians(20, seed=2)
    before, after = changed.features.copy(), changed.features
    before[:, 7], after[:, 7] = 0.5, 1.5
    moved = np.abs(score_features(head, after) - score_features(head, before)).max()
    assert moved < 0.1 < np.abs(score_features(head, after)).max() / 10


KINDS_OF_FILES = {
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
    """It becomes transparent from left to right."""
    veil = Image.linear_gradient("L").resize(photo.size)
    return Image.merge("RGBA", (*photo.split(), veil))


def grainy(source: str, number: int) -> Image.Image:
    """A drawing with the fine detail of a photo, which shows how it was made smaller."""
    photo = ImageOps.exif_transpose(Image.open(io.BytesIO(drawing(source, number)))).convert("RGB")
    photo = photo.resize((640, 480))
    grain = np.random.default_rng(number).normal(0, 25, (480, 640, 3))
    return Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def bodies() -> dict[str, bytes]:
    """56 files: each kind with a drawing of each source."""
    return {
        f"{kind}, {source}": write(grainy(source, number))
        for number, source in enumerate(SOURCES)
        for kind, write in KINDS_OF_FILES.items()
    }


@pytest.fixture(scope="module")
def described(bodies) -> np.ndarray:
    """Their features, as the task `describe` computes them."""
    return features(np.stack([decode_twice(body, SIZE)[1] for body in bodies.values()]))


@pytest.fixture(scope="module")
def head(described) -> keras.Model:
    """A head that learned these very files, but is kept from being sure."""
    allowed = np.eye(CLASSES, dtype=np.float32).repeat(len(KINDS_OF_FILES), axis=0)
    examples = Examples(described, allowed, np.ones(len(allowed), np.float32))
    return fit(examples, chosen=Hyperparameters(batch_size=16, label_smoothing=0.5), l2_penalty=0.08)


@pytest.fixture(scope="module")
def served(head, tmp_path_factory) -> keras.Model:
    """As the model server has it: saved, looked at by the archive's check, and loaded in safe mode."""
    path = tmp_path_factory.mktemp("joined") / "network.keras"
    build_served_network(head).save(path)
    assert path.stat().st_size < 20_000_000
    return load_network(str(path))


def cat_of(logits: np.ndarray) -> np.ndarray:
    return np.asarray(keras.ops.softmax(logits))[:, 0]


def test_facts_and_server_see_the_same_pixels_of_any_file(bodies):
    differ = [name for name, body in bodies.items() if (decode_twice(body, SIZE)[1] != decode_pixels(body, SIZE)).any()]
    assert not differ


def test_a_full_decode_would_not_give_them(bodies):
    """Else the test above could not fail."""
    body = bodies["large, cats"]
    assert (to_pixels(decode(body), SIZE) != decode_pixels(body, SIZE)).mean() > 0.1


def test_the_served_network_says_of_any_file_what_the_head_says_of_its_features(head, served, bodies, described):
    pixels = np.stack([decode_pixels(body, SIZE) for body in bodies.values()])
    expected, found = cat_of(score_features(head, described)), cat_of(freeze(served)(pixels))
    assert ((expected > 0.1) & (expected < 0.9)).sum() > 10  # where a small difference shows
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_the_linear_layer_of_the_served_network_is_the_head_without_its_standardisation(head, served, described):
    expected = score_features(head, described)
    found = score_features(extract_head(served), described)
    assert expected.std() > 0.3
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
