"""Gives the one wheel of a folder the tag that PyPI takes, and looks at what would be uploaded.

On Linux auditwheel finds the oldest manylinux whose symbols the kernels in C need; a wheel of
Python alone, or of another system, is tagged already.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PYPI_TAG = re.compile(
    r"-py3-none-(any|win_amd64|win_arm64|macosx_\w+|(manylinux|musllinux)[\w.]+)\.whl"
)
OLDEST = (2, 28)  # glibc: what machines of 2018 and later have
MOST_BYTES = 100 * 2**20  # of a file on PyPI


def main(folder: Path) -> None:
    (wheel,) = folder.glob("exeunt-*.whl")
    if "-linux_" in wheel.name:
        tools = Path(sys.executable).parent
        path = os.pathsep.join([str(tools), os.environ.get("PATH", "")])
        command = [str(tools / "auditwheel"), "repair", "--wheel-dir", str(folder), str(wheel)]
        subprocess.run(command, check=True, env={**os.environ, "PATH": path})
        wheel.unlink()
        (wheel,) = folder.glob("exeunt-*.whl")
    if not PYPI_TAG.search(wheel.name):
        sys.exit(f"{wheel.name}: PyPI takes no such tag")
    if found := re.search(r"manylinux_(\d+)_(\d+)_", wheel.name):
        glibc = (int(found[1]), int(found[2]))
        if glibc > OLDEST:
            sys.exit(f"{wheel.name} needs glibc {glibc}, newer than {OLDEST}; build it on an older")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        says = archive.read(metadata).decode("utf-8")
    if foreign := [name for name in names if name.split("/")[0].partition("-")[0] != "exeunt"]:
        sys.exit(f"{wheel.name} holds {foreign[0]}, which is none of exeunt's")
    if "Description-Content-Type: text/markdown" not in says:
        sys.exit(f"{wheel.name}: PyPI would not show the README")
    if wheel.stat().st_size > MOST_BYTES:
        sys.exit(f"{wheel.name}: {wheel.stat().st_size} bytes, more than PyPI takes")
    (sdist,) = folder.glob("exeunt-*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for file in ("pyproject.toml", "hatch_build.py", "LICENSE", "src/exeunt/native/rex.c"):
        if file not in held:
            sys.exit(f"{sdist.name} lacks {file}")
    print(f"{wheel.name}, {wheel.stat().st_size:,} bytes; {sdist.name}")


main(Path(sys.argv[1]).resolve())
