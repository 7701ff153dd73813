"""The built-in sample: small synthetic images, for a first run without photos and without internet access.

They are drawings only. A model trained on them knows nothing about real cats.
"""

import io
import math
import random
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw, ImageFilter

PER_SOURCE = 200  # images
SIDE = 128  # pixels
Colour = tuple[int, int, int]


def draw_sample(source: str, *, seed: int = 2025, count: int = PER_SOURCE) -> Iterator[bytes]:
    """``count`` JPEGs of one source. The same seed and the same version of Pillow give the same bytes."""
    for index in range(count):
        yield draw_photo(source, random.Random(f"{seed}/{source}/{index}"))


def draw_photo(source: str, rng: random.Random) -> bytes:
    """A JPEG of 128 x 128 pixels."""
    image = _background(rng)
    DRAWERS[source](ImageDraw.Draw(image), rng)
    image = image.rotate(rng.uniform(-20, 20), Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(60, 92))
    return buffer.getvalue()


def _background(rng: random.Random) -> Image.Image:
    image = Image.new("RGB", (SIDE, SIDE), _colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(2, 9)):
        _blob(draw, rng, _colour(rng))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(2, 9)))


def _blob(draw: ImageDraw.ImageDraw, rng: random.Random, colour: Colour) -> None:
    x, y, w, h = rng.randint(-20, SIDE), rng.randint(-20, SIDE), rng.randint(8, 70), rng.randint(8, 70)
    rng.choice([draw.ellipse, draw.rectangle])((x, y, x + w, y + h), fill=colour)


def _colour(rng: random.Random) -> Colour:
    return rng.randint(20, 235), rng.randint(20, 235), rng.randint(20, 235)


def _fur(rng: random.Random) -> Colour:
    shade = rng.uniform(0.3, 1)
    red, green, blue = rng.choice([(230, 160, 90), (200, 200, 205), (120, 90, 70), (245, 235, 220), (90, 90, 100)])
    return int(red * shade), int(green * shade), int(blue * shade)


def _head(rng: random.Random) -> tuple[float, float, float]:
    """Centre (x, y) and radius of a face, in pixels."""
    return rng.uniform(48, 80), rng.uniform(54, 78), rng.uniform(24, 40)


def _circle(draw: ImageDraw.ImageDraw, x: float, y: float, w: float, h: float, colour: Colour | str) -> None:
    draw.ellipse((x - w, y - h, x + w, y + h), fill=colour)


def _darker(colour: Colour) -> Colour:
    red, green, blue = colour
    return red // 2, green // 2, blue // 2


def _draw_cat(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y, r = _head(rng)
    fur = _fur(rng)
    for sign in (-1, 1):  # pointed ears
        ear = [(x + sign * r, y - 1.5 * r), (x + sign * 0.2 * r, y - 0.8 * r), (x + sign * r, y - 0.1 * r)]
        draw.polygon(ear, fill=fur)
    _circle(draw, x, y, r, 0.9 * r, fur)
    eyes = rng.choice([(120, 200, 60), (230, 190, 40), (90, 160, 220)])
    for sign in (-1, 1):  # slit pupils, whiskers
        _circle(draw, x + sign * 0.42 * r, y - 0.15 * r, 0.22 * r, 0.17 * r, eyes)
        _circle(draw, x + sign * 0.42 * r, y - 0.15 * r, 0.05 * r, 0.16 * r, "black")
        for slope in (-0.15, 0.05, 0.25):
            start = (x + sign * 0.25 * r, y + 0.4 * r)
            draw.line([start, (x + sign * 1.3 * r, y + (0.4 + slope) * r)], fill=(250, 250, 250))
    draw.polygon([(x - 0.12 * r, y + 0.25 * r), (x + 0.12 * r, y + 0.25 * r), (x, y + 0.4 * r)], fill=(220, 120, 130))


def _draw_dog(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y, r = _head(rng)
    fur = _fur(rng)
    _circle(draw, x, y, 0.85 * r, r, fur)
    for sign in (-1, 1):  # hanging ears, round eyes
        _circle(draw, x + sign * 0.9 * r, y, 0.28 * r, 0.8 * r, _darker(fur))
        _circle(draw, x + sign * 0.35 * r, y - 0.3 * r, 0.12 * r, 0.13 * r, "black")
    _circle(draw, x, y + 0.45 * r, 0.5 * r, 0.4 * r, tuple(min(255, part + 40) for part in fur))  # type: ignore[arg-type]
    _circle(draw, x, y + 0.25 * r, 0.2 * r, 0.14 * r, "black")
    if rng.random() < 0.6:
        _circle(draw, x, y + 0.85 * r, 0.15 * r, 0.3 * r, (225, 90, 110))


def _draw_selfie(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y, r = _head(rng)
    skin = rng.choice([(245, 215, 190), (225, 180, 145), (180, 125, 90), (110, 75, 55)])
    hair = rng.choice([(40, 30, 25), (110, 70, 40), (220, 190, 110), (150, 150, 150), (160, 60, 30)])
    draw.rectangle((x - 1.5 * r, y + 1.3 * r, x + 1.5 * r, SIDE + 40), fill=_colour(rng))  # shoulders
    draw.rectangle((x - 0.3 * r, y + 0.6 * r, x + 0.3 * r, y + 1.5 * r), fill=skin)
    _circle(draw, x, y - 0.25 * r, 0.9 * r, rng.uniform(0.9, 1.3) * r, hair)
    _circle(draw, x, y + 0.05 * r, 0.72 * r, 0.95 * r, skin)
    for sign in (-1, 1):
        _circle(draw, x + sign * 0.3 * r, y - 0.1 * r, 0.14 * r, 0.08 * r, "white")
        _circle(draw, x + sign * 0.3 * r, y - 0.1 * r, 0.06 * r, 0.07 * r, (60, 40, 30))
    smile = (x - 0.3 * r, y + 0.2 * r, x + 0.3 * r, y + 0.6 * r)
    draw.arc(smile, 20, 160, fill=(170, 60, 70), width=3)


def _draw_misc(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    rng.choice([_draw_house, _draw_page, _draw_wheels, _draw_star, _draw_blobs])(draw, rng)


def _draw_house(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y, w = rng.randint(20, 50), rng.randint(55, 75), rng.randint(35, 60)
    draw.rectangle((x, y, x + w, y + w), fill=_colour(rng))
    draw.polygon([(x - 6, y), (x + w + 6, y), (x + w / 2, y - w / 1.6)], fill=_colour(rng))
    draw.rectangle((x + w * 0.4, y + w * 0.5, x + w * 0.6, y + w), fill=_colour(rng))


def _draw_page(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    draw.rectangle((14, 10, 114, 122), fill=(248, 247, 240))
    for line in range(18, 116, rng.randint(6, 10)):
        draw.line([(20, line), (rng.randint(60, 108), line)], fill=(60, 60, 70), width=2)


def _draw_wheels(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    y, colour = rng.randint(60, 80), _colour(rng)
    draw.rectangle((18, y - 22, 110, y + 6), fill=colour)
    draw.rectangle((38, y - 42, 92, y - 20), fill=_darker(colour))
    for x in (38, 90):
        _circle(draw, x, y + 8, 13, 13, (25, 25, 25))


def _draw_star(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    x, y, points = rng.randint(45, 85), rng.randint(45, 85), rng.randint(5, 9)
    radii = [rng.uniform(28, 44), rng.uniform(10, 20)] * points
    step = math.pi / points
    corners = [(x + r * math.cos(i * step), y + r * math.sin(i * step)) for i, r in enumerate(radii)]
    draw.polygon(corners, fill=_colour(rng))


def _draw_blobs(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    for _ in range(rng.randint(3, 8)):
        _blob(draw, rng, _colour(rng))


DRAWERS: dict[str, Callable[[ImageDraw.ImageDraw, random.Random], None]] = {
    "cats": _draw_cat,
    "dogs": _draw_dog,
    "selfies": _draw_selfie,
    "misc": _draw_misc,
}
