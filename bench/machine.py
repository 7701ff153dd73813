"""The machine that the bench ran on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil


def describe_machine() -> dict[str, str]:
    """Its properties by the names that the page shows. Call this before measuring: it also reads the load."""
    return {
        "CPU": _cpu(),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 1e9:.1f} GB",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
        "Python": platform.python_version(),
        "TensorFlow": version("tensorflow"),
        "Keras": version("keras"),
    }


def _cpu() -> str:
    """The model's name: Linux has it in a file; elsewhere Python's own answer must do."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
