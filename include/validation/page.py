"""The findings as one small page of HTML that needs nothing else: tables, histograms as SVG, mean pictures as PNG."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from include.pages.rendering import PAGES
from include.validation.results import ComparisonResult, describe_comparison

WIDTH, HEIGHT = 270, 110  # of a histogram, in pixels


def render_page(found: list[ComparisonResult]) -> bytes:
    """UTF-8 bytes of the page."""
    stopped = any(one.stops and one.passed is False for one in found)
    title = "Nothing is trained on these photos" if stopped else "Nothing stands against training on these photos"
    shown = [_shown(one) for one in found]
    return PAGES.get_template("validation.html.j2").render(title=title, found=shown).encode()


def _shown(one: ComparisonResult) -> dict[str, Any]:
    told = describe_comparison(one) if one.passed is False else one.note
    means = one.plots.get("means", {})
    return {
        "name": one.name,
        "state": one.state,
        "told": told[:1].upper() + told[1:],
        "photos": one.photos,
        "figures": _worst(one.figures),
        "histograms": _histograms(one) if one.plots else {},
        "means": [_png(picture) for picture in means.values()],
        "outliers": {name: keys for name, keys in one.outliers.items() if keys},
    }


def _worst(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The worst figure of each check and group."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    for figure in figures:
        place = figure["check"], figure["group"]
        if place not in worst or figure["score"] is None or figure["score"] > (worst[place]["score"] or 0):
            worst[place] = figure
    return list(worst.values())


def _histograms(one: ComparisonResult) -> dict[str, dict[str, Any]]:
    """The properties that drifted, for every group; without any, brightness alone."""
    drifted = {f["subject"] for f in one.figures if f["check"] == "image property drift" and not f["passed"]}
    return {
        name: {group: _drawn(plot) for group, plot in groups.items()}
        for name, groups in one.plots["histograms"].items()
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
    return base64.b64encode(buffer.getvalue()).decode()
