"""The import rules of docs/architecture.md: data walks down the stages and never back up."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from include.lake import layout

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = {"airflow", "streamlit", "dags", "plugins", "cat_plugin", "app", "stack", "tests"}
APP_MAY_USE = (
    *("include.lake", "include.images.decoding", "include.images.decode_pool", "include.images.synthetic"),
    *(f"include.ingestion.{name}" for name in ("uploads", "spool", "spool_sender", "answer_counts")),
    *("include.serving.client", "include.dataset.splits"),
)
NOT_IN_ITS_IMAGE = {"tensorflow", "keras", "airflow", "mlflow", "scipy", "sklearn", "matplotlib", "fastapi", "faiss"}
GROUND = (
    "include.configuration",
    "include.records",
    "include.errors",
    "include.settings",
    "include.question",
    "include.status",
)


def stages() -> list[set[str]]:
    """The layers in pyproject.toml, which import-linter checks in `make check`: the lowest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [set(layer.replace("include.", "").split(" | ")) for layer in reversed(layers)]


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
def test_include_knows_no_framework(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS


def test_every_module_has_a_place_among_the_stages() -> None:
    modules = {path.relative_to(ROOT / "include").parts[0].removesuffix(".py") for path in python_files("include")}
    assert modules - {"__init__"} == set().union(*stages())


@pytest.mark.parametrize("path", python_files("include"), ids=lambda path: str(path.relative_to(ROOT)))
def test_stages_import_only_downwards(path: Path) -> None:
    stage, below = path.relative_to(ROOT / "include").parts[0].removesuffix(".py"), set[str]()
    for layer in stages():
        if stage in layer:
            break
        below |= layer
    used = {name.split(".")[1] for name in imports(path) if name.startswith("include.")}
    assert used <= below | {stage}


@pytest.mark.parametrize("path", python_files("app"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_app_needs_only_what_it_may_use(path: Path) -> None:
    used = {name for name in imports(path) if name.startswith("include.")}
    assert all(name.startswith(APP_MAY_USE + GROUND) for name in used)


def test_the_app_loads_nothing_that_its_image_lacks() -> None:
    views = "app.streamlit_app, app.verdict_view, app.saying, app.choosing, app.model_reports, altair"
    program = f"import sys, {views}; sys.exit(', '.join({NOT_IN_ITS_IMAGE} & sys.modules.keys()) or 0)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


def test_only_s3_imports_boto3() -> None:
    users = {str(path.relative_to(ROOT)) for path in python_files("include") if "boto3" in imports(path)}
    assert users == {"include/lake/s3.py"}


def test_only_settings_reads_the_environment() -> None:
    """But for the one line that sets what TensorFlow reads, unless it is set."""
    reading, allowed = ("os.environ", "os.getenv"), 'os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")'
    texts = {path: path.read_text().replace(allowed, "") for path in python_files("include")}
    importing = [path for path in texts if imports(path) & set(reading)]
    spelling = [path for path, text in texts.items() if any(name in text for name in reading)]
    assert not importing
    assert not spelling


def test_keys_are_spelled_in_layout_only() -> None:
    """No other file of include builds a key of the lake from text."""
    named = (
        layout.BASE,
        layout.UPLOADS,
        layout.FEEDBACK,
        layout.REVIEWS,
        layout.TOMBSTONES,
        layout.LAKE,
        layout.TRIALS,
        layout.INGESTS,
    )
    prefixes = (*named, "quarantine/", "facts/", "datasets/", "runs/", "tuned/", "predictions/")
    for path in python_files("include"):
        strings = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        }
        spelled = [text for text in strings if isinstance(text, str) and text.startswith(prefixes)]
        assert path.name == "layout.py" or not set(spelled) - docstrings


def test_tasks_that_use_no_network_load_no_tensorflow() -> None:
    """Importing it takes longer than all their work."""
    data = "include.dataset.facts, include.dataset.steps, include.validation.data"
    model = "include.tuning.tune, include.promotion.deploy, include.promotion.run_report, include.validation.model"
    program = f"import sys, {data}, {model}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
