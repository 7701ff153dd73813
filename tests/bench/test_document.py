import pytest

from bench.document import compose, epoch_seconds, first_above, growth, number, ratio, side_by_side, spell, table

FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6}


def epochs(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"seconds": float(seconds), "average_precision": float(reached)} for seconds, reached in points]


def recipe(*points: tuple[float, float], peak: float = 1e9) -> dict:
    figures = dict.fromkeys(("precision", "recall", "average_precision"), FIGURE)
    return {
        "load_seconds": 2.0,
        "trained_on": 100,
        "epochs": epochs(*points),
        "peak_bytes": peak,
        "threshold": 0.3,
        **figures,
    }


ORIGINAL = recipe((100, 0.5), (200, 0.7), (300, 0.6), peak=8e9)
OURS = recipe((20, 0.6), (30, 0.7), (40, 0.8))
STEP = {"photos": 1000, "trained_on": 800, "load_seconds": 3.0, "epochs": epochs((9, 0), (13, 0)), "peak_bytes": 1e9}


def results(**others) -> dict:
    times = {"p50": 10.0, "p99": 20.0, "calls": 300}
    inference = {"bare": times, "served": times | {"p50": 15.0}, "explained": times}
    settings = {"network": "scratch", "image_size": 32}
    return {
        "original": ORIGINAL, "ours": OURS, "inference": inference, "growth": [STEP], "settings": settings, **others
    }  # fmt: skip


def row(page: str, name: str) -> list[str]:
    """The cells behind the first one of the row that begins with ``name``."""
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_table_is_markdown():
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1,234"), (0.0, "0"), (24, "24")],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [(1.0, 4.0, "0.250"), (FIGURE, FIGURE | {"value": 0.25}, "2.00"), (1.0, 0.0, "–"), ("never", 1.0, "–")],
)
def test_a_ratio_is_of_numbers_only(one, other, text):
    assert ratio(one, other) == text


def test_only_what_exceeds_the_bar_counts():
    assert first_above(OURS["epochs"], 0.7) == 40
    assert first_above(OURS["epochs"], 0.5) == 20
    assert first_above(OURS["epochs"], 0.9) is None


def test_the_first_epoch_counts_only_where_it_is_alone():
    assert epoch_seconds({"epochs": epochs((20, 0), (23, 0), (27, 0))}) == 3.5
    assert epoch_seconds({"epochs": epochs((20, 0))}) == 20


def test_both_recipes_stand_side_by_side_with_their_ratio():
    page = side_by_side(ORIGINAL, OURS)
    assert row(page, "one epoch") == ["100", "10.0", "0.100"]
    assert row(page, "photos trained on") == ["1.00", "10.0", "10.0"]
    assert row(page, "peak memory") == ["8.00", "1.00", "0.125"]
    assert row(page, "precision on test") == ["0.50 (0.40 to 0.60)", "0.50 (0.40 to 0.60)", "1.00"]
    assert row(page, "training until") == ["200", "40.0", "0.200"]


def test_what_was_never_exceeded_is_said():
    assert row(side_by_side(recipe((9, 0.9)), OURS), "training until") == ["9.00", "never", "–"]


def test_an_original_that_was_skipped_has_dashes():
    page = side_by_side(None, OURS)
    assert row(page, "one epoch") == ["–", "10.0", "–"]
    assert "training until" not in page


def test_growth_ends_with_what_grew_how_much():
    page = growth([STEP, STEP | {"photos": 8000, "trained_on": 6400, "epochs": epochs((40, 0), (72, 0))}])
    assert row(page, "8,000") == ["3.00", "32.0", "200", "1.00"]
    assert row(page, "x 8.00") == ["x 1.00", "x 8.00", "x 1.00", "x 1.00"]


def test_the_page_names_run_and_photos_and_warns_of_drawings():
    page = compose(results(), about={"CPU": "abacus"}, drawn=True)
    assert row(page, "CPU") == ["abacus"]
    assert row(page, "the served model") == ["15.0", "20.0", "1.50", "1.00"]
    assert "`scratch` at 32 pixels" in page
    assert "nothing about cats" in page
    assert "nothing about cats" not in compose(results(), about={}, drawn=False)


def test_without_growth_and_the_original_the_page_is_still_whole():
    page = compose(results(growth=[], original=None), about={}, drawn=False)
    assert "## Growth" not in page
    assert row(page, "3 ") == ["–", "–", "40.0", "0.800"]


def test_the_command_names_no_folder_of_the_machine():
    told = spell("bench.training", ["--photos", "/home/me/my cats/", "--out=/tmp/page.md", "--epochs", "3"])
    assert told == "python -m bench.training --photos 'my cats' --out=page.md --epochs 3"
