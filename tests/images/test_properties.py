import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from include.images.properties import image_properties, quality_issue
from include.settings import Quality
from tests.pictures import QUESTION, drawn_image


def properties_of(image: Image.Image) -> dict[str, float]:
    return image_properties(image, image.convert("L")) | {"width": image.width, "height": image.height}


def noise(size: tuple[int, int] = (100, 100)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def issue_of(image: Image.Image) -> str | None:
    (issue,) = quality_issue(pd.DataFrame([properties_of(image)]), Quality())
    return None if pd.isna(issue) else str(issue)


def test_properties_of_a_picture_half_black_half_white() -> None:
    picture = Image.new("RGB", (100, 50), "white")
    picture.paste("black", (0, 0, 50, 50))
    found = properties_of(picture)
    assert found["aspect_ratio"] == 0.5
    assert found["brightness"] == pytest.approx(0.5)
    assert found["contrast"] == pytest.approx(0.5)
    assert found["entropy"] == pytest.approx(1.0)
    assert found["darkest"] == pytest.approx(0)
    assert found["lightest"] == pytest.approx(1, abs=0.01)


def test_sharpness_falls_with_blur_and_does_not_depend_on_size() -> None:
    sharp = properties_of(noise())["sharpness"]
    assert properties_of(noise().filter(ImageFilter.GaussianBlur(6)))["sharpness"] < sharp / 4
    drawing = drawn_image("cats", 1)
    larger = drawing.resize((512, 512), Image.Resampling.BICUBIC)
    assert properties_of(larger)["sharpness"] == pytest.approx(properties_of(drawing)["sharpness"], rel=0.15)


POOR = {
    "tiny": noise((20, 40)),
    "odd ratio": noise((40, 200)),
    "little information": Image.new("RGB", (100, 100), "red"),
    "too dark": noise().point(lambda value: value // 10),
    "too bright": noise().point(lambda value: 250 + value // 52),
    "blurred": noise((400, 400)).filter(ImageFilter.GaussianBlur(30)),
}


@pytest.mark.parametrize("issue", POOR)
def test_each_quality_issue_is_named(issue: str) -> None:
    assert str(issue_of(POOR[issue])).startswith(issue)


@pytest.mark.parametrize("source", QUESTION.sources)
def test_a_drawing_is_good_enough(source: str) -> None:
    assert [issue_of(drawn_image(source, number)) for number in range(10)] == [None] * 10


def test_a_photo_without_properties_has_no_issue() -> None:
    unknown = pd.DataFrame([dict.fromkeys(properties_of(noise()), np.nan)])
    assert quality_issue(unknown, Quality()).isna().all()
