"""The loop for another question in a real stack: from folders of drawn shapes to a live model that knows a star."""

import io
import math
import random
from collections.abc import Iterator, Sequence

import pytest
from PIL import Image, ImageDraw

from include.lake import layout
from include.lake.formats import read_json
from include.registry.versions import champion_version
from include.serving.client import live, predict
from tests.functional.conftest import Loop, quick_settings, running_loop

pytestmark = [pytest.mark.functional, pytest.mark.slow]

PER_SOURCE = 60
SIZE = 160  # pixels
STAR = {
    "CAT_QUESTION__NAME": "is-it-a-star",
    "CAT_QUESTION__SOURCES": "circles,squares,stars",
    "CAT_QUESTION__POSITIVE": "stars",
    "CAT_QUESTION__NOUN": "a star",
    "CAT_QUESTION__TEXT": "Is it a star?",
}


def draw_shape(source: str, number: int) -> bytes:
    """A JPEG of one shape on a coloured mosaic; every number gives another picture."""
    rng = random.Random(f"{source}/{number}")
    mosaic = Image.frombytes("RGB", (5, 5), bytes(rng.randint(120, 255) for _ in range(5 * 5 * 3)))
    image = mosaic.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    x, y, radius = rng.uniform(60, 100), rng.uniform(60, 100), rng.uniform(35, 55)
    dark = rng.randint(0, 90), rng.randint(0, 90), rng.randint(0, 90)
    ImageDraw.Draw(image).polygon(_corners(source, x, y, radius, rng.uniform(0, 1)), fill=dark)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _corners(source: str, x: float, y: float, radius: float, turn: float) -> Sequence[tuple[float, float]]:
    """A star has corners that alternate between two radii; a circle is a polygon of many corners."""
    count, inner = {"circles": (90, 1.0), "squares": (4, 1.0), "stars": (10, 0.4)}[source]
    radii = [radius, radius * inner] * (count // 2)
    angles = [2 * math.pi * (number + turn) / count for number in range(count)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


@pytest.fixture(scope="module")
def star_loop(own_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A stack that asks whether a picture shows a star, with three folders of base photos."""
    folder = tmp_path_factory.mktemp("shapes")
    for source in STAR["CAT_QUESTION__SOURCES"].split(","):
        (folder / source).mkdir()
        for number in range(PER_SOURCE):
            (folder / source / f"{number}.jpg").write_bytes(draw_shape(source, number))
    settings = quick_settings(tmp_path_factory.mktemp("stack"), "folder", CAT_BASE_DATA=str(folder), **STAR)
    with running_loop(settings) as loop:
        yield loop


def test_another_question_ends_with_a_live_model_of_its_own_name(star_loop: Loop) -> None:
    star_loop.run("ingest_base_datasets")
    assert len(list(star_loop.lake.keys(layout.BASE))) == 3 * PER_SOURCE
    run, states = star_loop.run("retrain")
    assert states.pop("release.keep_champion") == "skipped"
    assert set(states.values()) == {"success"}
    report = read_json(star_loop.lake, layout.run_report(run))
    assert report["decision"]["outcome"] == "better", report["decision"]
    client = star_loop.client
    assert [model.name for model in client.search_registered_models()] == ["is-it-a-star"]
    assert "Is it a star?" in client.get_registered_model("is-it-a-star").description
    assert champion_version(client) == live(star_loop.live_url)["model_version"] == report["version"]


def test_a_star_is_positive_and_a_circle_is_not(star_loop: Loop) -> None:
    """New drawings; of ten each, for a head that learned from a few may be wrong about a single one."""
    assert star_loop.versions(), "the test before has made a model"
    photos = [draw_shape(source, 1000 + number) for source in ("stars", "circles") for number in range(10)]
    verdicts = [verdict.is_positive for verdict in predict(star_loop.live_url, photos)]
    assert verdicts[:10].count(True) >= 9
    assert verdicts[10:].count(False) >= 9
