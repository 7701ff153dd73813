import pytest

from bench.document import compose, costs, epoch_seconds, growth, metrics, number, ratio, spell, table
from bench.question import SOURCES

INTERVAL = {"value": 0.5, "low": 0.4, "high": 0.6}
METRICS = dict.fromkeys(("precision", "recall", "average_precision", "roc_auc"), INTERVAL)
ELSEWHERE = METRICS | {
    "photos": 40,
    "predicted_positive_rates": dict.fromkeys(SOURCES, {"photos": 10, "predicted_positive": 0.125}),
}


def recipe(*ends: float, peak: float = 1e9, **seconds: float) -> dict:
    epochs = {"epoch_ends": [float(end) for end in ends]} if ends else {}
    return {"seconds": seconds, "peak_bytes": peak, "threshold": 0.3, "test": METRICS, **epochs}


ORIGINAL = recipe(100, 200, 310, peak=8e9, loading=9.0, training=310.0)
SCRATCH = recipe(20, 30, 40, loading=6.0, training=40.0)
DEFAULT = recipe(embeddings=20.0, tuning=10.0, head=1.0, training=31.0) | {"photos": 8000}
RECIPES = {"original": ORIGINAL, "scratch": SCRATCH, "default": DEFAULT}


def results(**others) -> dict:
    times = {"p50": 10.0, "p99": 20.0}
    names = ("decode", "network", "bare", "explained")
    inference = dict.fromkeys(names, times) | {"calls": 300, "served": {"p50": 12.5, "p99": 20.0}}
    inference["variables"] = {"p50": 13.0, "p99": 20.0}
    settings = {"image_size": 32, "tune_trials": 12}
    return {"recipes": RECIPES, "inference": inference, "growth": [DEFAULT], "settings": settings, **others}


def row(page: str, name: str) -> list[str]:
    """The cells after the first one, of the row that begins with ``name``."""
    (line,) = (line for line in page.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1,234"), (0.0, "0"), (24, "24")],
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("value", "other", "text"), [(1.0, 4.0, "0.250"), (1.0, 0.0, "–"), (None, 1.0, "–")])
def test_a_ratio_needs_two_numbers(value: float, other: float | None, text: str) -> None:
    assert ratio(value, other) == text


def test_the_first_epoch_counts_only_if_it_is_the_only_one() -> None:
    assert epoch_seconds(recipe(20, 23, 27)) == 3.5
    assert epoch_seconds(recipe(20)) == 20
    assert epoch_seconds(recipe()) is None


def test_costs_stand_side_by_side_with_the_ratio_to_the_original() -> None:
    page = costs(RECIPES)
    assert row(page, "one epoch") == ["105", "10.0", "–", "–"]
    assert row(page, "embeddings") == ["–", "–", "20.0", "–"]
    assert row(page, "training in all") == ["310", "40.0", "31.0", "0.100"]
    assert row(page, "peak memory") == ["8.00", "1.00", "1.00", "0.125"]
    assert row(costs({"default": DEFAULT}), "training in all") == ["31.0"]


def test_each_row_says_whose_photos_it_is_about() -> None:
    page = metrics(RECIPES)
    assert row(page, "recall, random test split (flatters)")[2] == "0.500 (0.400 to 0.600)"
    assert "from elsewhere" not in page
    page = metrics({"default": DEFAULT | {"elsewhere": ELSEWHERE}})
    assert row(page, "area under the ROC curve, photos from elsewhere") == ["0.500 (0.400 to 0.600)"]
    assert row(page, "predicted positive, of 10 dogs from elsewhere") == ["0.125"]


def test_growth_ends_with_the_factors() -> None:
    small = recipe(embeddings=5.0, tuning=10.0, head=1.0, training=16.0) | {"photos": 1000}
    page = growth([small, DEFAULT])
    assert row(page, "8,000") == ["20.0", "10.0", "1.00", "31.0", "1.00"]
    assert row(page, "x 8.00") == ["x 4.00", "x 1.00", "x 1.00", "x 1.94", "x 1.00"]


def test_the_page_names_the_run_and_warns_of_drawings() -> None:
    page = compose(results(), about={"CPU": "abacus"}, drawn=True)
    assert row(page, "CPU") == ["abacus"]
    assert row(page, "the served model |") == ["12.5", "20.0", "1.25"]
    assert "takes 1.30 times as long" in page
    assert "nothing about cats" in page
    assert "nothing about cats" not in compose(results(), about={}, drawn=False)


def test_the_page_says_whether_photos_from_elsewhere_were_given() -> None:
    assert "was not measured" in compose(results(), about={}, drawn=False)
    recipes = {"default": DEFAULT | {"elsewhere": ELSEWHERE}}
    assert "(40 of them" in compose(results(recipes=recipes), about={}, drawn=False)


def test_the_page_is_complete_without_growth_and_the_original() -> None:
    page = compose(results(growth=[], recipes={"default": DEFAULT}), about={}, drawn=False)
    assert "## Growth" not in page
    assert row(page, "head, s") == ["1.00"]


def test_the_command_names_no_folder_of_the_machine() -> None:
    command = spell("bench.training", ["--photos", "/home/me/my cats/", "--out=/tmp/page.md", "--epochs", "3"])
    assert command == "python -m bench.training --photos 'my cats' --out=page.md --epochs 3"
