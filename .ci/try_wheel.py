"""Installs the one wheel of a folder into a fresh environment elsewhere, runs the demo there, and
looks for what pages and exported folders are made of."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"

HAS_KERNELS = """
import exeunt.native, platform
assert platform.system() != "Linux" or exeunt.native.native() is not None, "its kernels do not load"
"""

READ_THE_PAGES = """
from importlib import resources
from exeunt.export.web.page_part import PARTS
from exeunt.export.web.wasm import SOURCES
from exeunt.page.document import SCRIPTS as SHARED, STYLE
from exeunt.report.document import SCRIPTS
rooms = {
    "page": (STYLE, *SHARED),
    "report/page": ("page.html", "page.css", *SCRIPTS),
    "export/web/page": PARTS,
    "export/web/wasm": SOURCES,
}
for room, names in rooms.items():
    for name in names:
        assert (resources.files("exeunt") / room / name).read_bytes(), name
"""

READ_THE_TEMPLATES = """
from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.layouts import LAYOUTS
from exeunt.export.c.templates import TEMPLATES
assert (RUNTIME / "exn_camera.c").read_bytes()
for layout in LAYOUTS.values():
    for template in layout.values():
        assert (TEMPLATES / template).read_bytes(), template
"""


def main(folder: str) -> None:
    (wheel,) = Path(folder).resolve().glob("exeunt-*.whl")
    with tempfile.TemporaryDirectory() as elsewhere:
        venv.create(Path(elsewhere, "venv"), with_pip=True)
        binaries = Path(elsewhere, "venv", "bin")

        def run(program: str, *arguments: str) -> None:
            subprocess.run([str(binaries / program), *arguments], cwd=elsewhere, check=True)

        pip = ("install", "--quiet", "--disable-pip-version-check")
        run("pip", *pip, "--constraint", str(CONSTRAINTS), str(wheel))
        run("python", "-c", HAS_KERNELS)
        run("exeunt", "demo")  # as `uvx exeunt demo` has it, without other packages
        run("pip", *pip, "--constraint", str(CONSTRAINTS), f"{wheel}[demo]")
        run("python", "-c", READ_THE_PAGES)
        run("python", "-c", READ_THE_TEMPLATES)
        run("exeunt", "demo", "--out", "demo.png")
        if Path(elsewhere, "demo.png").stat().st_size < 10_000:
            sys.exit("the demo of the installed wheel wrote no picture worth the name")


main(sys.argv[1])
