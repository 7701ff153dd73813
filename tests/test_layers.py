"""The import rules of docs/architecture.md: data walks down the house and never back up."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# each may import itself and what stands before it
ROOMS = [
    "lake", "images", "pages", "backbone", "ingestion", "dataset", "training", "evaluation", "validation", "tuning",
    "registry", "promotion", "serving",
]  # fmt: skip
GROUND = {"records", "errors", "settings"}
FRAMEWORKS = {"airflow", "streamlit", "dags", "plugins", "cat_plugin", "app", "stack", "tests"}
APP_MAY_USE = ("include.lake", "include.ingestion.uploads", "include.images.decoding", "include.serving.client")


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", python_files("include"), ids=lambda path: str(path.relative_to(ROOT)))
def test_include_knows_no_framework(path):
    assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS


@pytest.mark.parametrize("path", python_files("include"), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_downwards(path):
    room = path.relative_to(ROOT / "include").parts[0].removesuffix(".py")
    below = set(ROOMS[: ROOMS.index(room) + 1]) if room in ROOMS else set()
    used = {name.split(".")[1] for name in imports(path) if name.startswith("include.")}
    assert used <= below | GROUND


@pytest.mark.parametrize("path", python_files("app"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_app_needs_only_its_rooms(path):
    used = {name for name in imports(path) if name.startswith("include.")}
    allowed = (*APP_MAY_USE, *(f"include.{name}" for name in GROUND))
    assert all(name.startswith(allowed) for name in used)


def test_only_s3_imports_boto3():
    users = {str(path.relative_to(ROOT)) for path in python_files("include") if "boto3" in imports(path)}
    assert users == {"include/lake/s3.py"}


def test_only_settings_reads_the_environment():
    readers = [path for path in python_files("include") if {"os.environ", "os.getenv"} & imports(path)]
    spelled = [path for path in python_files("include") if "os.environ" in path.read_text()]
    assert not readers
    assert not spelled


def test_keys_are_spelled_in_layout_only():
    """No other file of include builds a key of the lake from text."""
    prefixes = ("base/", "uploads/", "feedback/", "reviews/", "tombstones/", "facts/", "datasets/", "runs/", "tuned/")
    for path in python_files("include"):
        strings = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        }
        spelled = [text for text in strings if isinstance(text, str) and text.startswith(prefixes)]
        assert path.name == "layout.py" or not set(spelled) - docstrings


def test_tasks_that_use_no_network_load_no_tensorflow():
    """Its import costs more than all else that they do."""
    data = "include.dataset.facts, include.dataset.manifest, include.validation.data"
    model = "include.tuning.tune, include.promotion.deploy, include.promotion.run_report, include.validation.model"
    program = f"import sys, {data}, {model}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
