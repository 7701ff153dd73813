"""The data checks as one HTML page that fetches nothing: tables, histograms as SVG, mean pictures as PNG."""

import io
from typing import Any

import numpy as np
from PIL import Image

from include.pages.images import data_url
from include.pages.rendering import PAGES
from include.validation.results import ComparisonResult, excess

WIDTH, HEIGHT = 270, 110  # of a histogram, in pixels


def render_page(results: list[ComparisonResult]) -> bytes:
    """The page in UTF-8."""
    stopped = any(result.stops and result.failed for result in results)
    title = "The data checks failed: nothing is trained" if stopped else "The data checks stop nothing"
    shown = [_shown(result) for result in results]
    return PAGES.get_template("validation.html.j2").render(title=title, results=shown).encode()


def _shown(result: ComparisonResult) -> dict[str, Any]:
    means = result.plots.get("means", {})
    return {
        "name": result.name,
        "state": result.state,
        "message": result.message[:1].upper() + result.message[1:],
        "photos": result.photos,
        "checks": _worst(result.checks),
        "histograms": _histograms(result) if result.plots else {},
        "means": [_png(picture) for picture in means.values()],
        "outliers": {name: keys for name, keys in result.outliers.items() if keys},
    }


def _worst(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The worst score of each check and group: a failed one before a passed one, no score before any score."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    for check in sorted(checks, key=lambda check: (not check["passed"], excess(check))):
        worst[check["check"], check["group"]] = check
    order = dict.fromkeys((check["check"], check["group"]) for check in checks)
    return [worst[name] for name in order]


def _histograms(result: ComparisonResult) -> dict[str, dict[str, Any]]:
    """The properties that drifted, for every group; without any, brightness alone."""
    drifted = {c["subject"] for c in result.checks if c["check"] == "image property drift" and not c["passed"]}
    return {
        name: {group: _drawn(plot) for group, plot in groups.items()}
        for name, groups in result.plots["histograms"].items()
        if name in (drifted or {"brightness"})
    }


def _drawn(plot: dict[str, list[float]]) -> dict[str, Any]:
    """Bars of the reference, and the new photos as a line over them."""
    scale = HEIGHT / max(*plot["reference"], *plot["new"], 1e-9)
    step = WIDTH / len(plot["new"])
    bars = [
        {"x": f"{n * step:.1f}", "y": f"{HEIGHT - share * scale:.1f}", "width": f"{step - 0.5:.1f}"}
        | {"height": f"{share * scale:.1f}"}
        for n, share in enumerate(plot["reference"])
    ]
    corners = [(n * step, HEIGHT - share * scale) for n, share in enumerate(plot["new"])]
    line = " ".join(f"{x:.1f},{y:.1f} {x + step:.1f},{y:.1f}" for x, y in corners)
    return {"bars": bars, "line": line, "low": f"{plot['edges'][0]:.3g}", "high": f"{plot['edges'][-1]:.3g}"}


def _png(grey: list[list[int]]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.array(grey, np.uint8)).save(buffer, "PNG")
    return data_url(buffer.getvalue(), "image/png")
