"""An installed Chromium: playwright brings the driver only."""

import shutil

from include.errors import StackError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser() -> str:
    """Path of the first Chromium on PATH; raises StackError."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise StackError(f"none of {', '.join(BROWSERS)} is on PATH: install one (on Debian: apt-get install chromium)")
    return browser
