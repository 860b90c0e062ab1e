"""Writes docs/live.html and the picture of it anew.

    python docs/make_live.py imagenette128

The page is what the command in docs/live.md writes; the picture is that page in Chromium without a
window, with docs/coffee.jpg, when its run has been played.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "pages"))
from browser import Browser, find_browser

HERE = Path(__file__).parent
PAGE, PICTURE, PHOTOGRAPH = HERE / "live.html", HERE / "live.png", HERE / "coffee.jpg"
COMMAND = ("export", "rex_mobilenetv2_075.imagenette", "--target", "web", "--calibration")
WIDTH, HEIGHT, PATIENCE_S = 1180, 1120, 60

SHOWN = """document.getElementById("live-name").textContent === "coffee.jpg" &&
  document.getElementById("live-verdict").textContent.includes("saved")"""


def take_picture() -> None:
    """Opens the page, gives it the photograph, and waits until the run is over."""
    program = find_browser()
    if program is None:
        sys.exit("no Chromium is installed; the picture stays as it is")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = Browser(program, Path(home))
        try:
            browser.start()
            browser.resize(WIDTH, HEIGHT)
            browser.prefer("light")
            browser.open(PAGE)
            assert browser("live.ready") is True
            browser.give("#live-files", [PHOTOGRAPH])
            end = time.monotonic() + PATIENCE_S
            while not browser(SHOWN):
                assert time.monotonic() < end, "the run does not end"
                time.sleep(0.1)
            browser.picture(PICTURE)
        finally:
            browser.close()


def main(data: str) -> None:
    """Writes both."""
    words = [sys.executable, "-m", "exeunt", *COMMAND, data, "--out", str(PAGE)]
    subprocess.run(words, check=True)
    take_picture()


if __name__ == "__main__":
    main(*sys.argv[1:])
