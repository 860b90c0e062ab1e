"""An exported folder of C, compiled to WebAssembly."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.errors import ExeuntError
from exeunt.export.c.host import run_tool
from exeunt.export.c.shape import Shape

if TYPE_CHECKING:
    from exeunt.export.c import CModel

PREFIX = "net"
COMPILER, LINKER = "clang", "wasm-ld"
SOURCES = ("page.c", "string.h", "emmintrin.h")
FLAGS = (
    "--target=wasm32",
    "-std=c99",
    "-O3",
    "-ffp-contract=off",
    "-msimd128",
    "-mbulk-memory",
    "-D__SSE2__=1",  # the loops for x86, by this package's own emmintrin.h
    "-nostdlib",
    "-Wl,--no-entry,--strip-all,--gc-sections,-z,stack-size=65536",
)


def require_compiler() -> str:
    """What compiles to WebAssembly.

    Raises:
        ExeuntError: when it or its linker is not installed, naming the packages.
    """
    missing = [name for name in (COMPILER, LINKER) if shutil.which(name) is None]
    if missing:
        raise ExeuntError(
            f"a page runs WebAssembly, which {COMPILER} and {LINKER} make, and there is no "
            f"{missing[0]}; install both (Debian: apt-get install clang lld)"
        )
    return COMPILER


def compiled(model: CModel) -> tuple[dict[str, Any], bytes]:
    """The report of a model's folder, whose names begin with `net`, and its program.

    Raises:
        ExeuntError: as `write_c` and `build_wasm`.
    """
    from exeunt.export.c import write_c

    with tempfile.TemporaryDirectory(prefix="exeunt-") as place:
        folder, program = Path(place, PREFIX), Path(place, "net.wasm")
        report = write_c(model, folder)
        build_wasm(folder, report["dtype"], len(report["nodes"]), program)
        return report, program.read_bytes()


def build_wasm(
    folder: Path, dtype: str, nodes: int, program: Path, flags: Sequence[str] = ()
) -> None:
    """Compiles a folder whose names begin with `net`, with what a page calls.

    Args:
        folder: of `write_c`.
        dtype: `int8` or `float32`.
        nodes: that the model has.
        program: to make, a module that asks for nothing but `page.watch`.
        flags: besides the usual ones, such as `-DEXN_PLAIN` for loops in plain C.

    Raises:
        ExeuntError: there is no compiler, or it refuses; with what it says.
    """
    compiler = require_compiler()
    shape = Shape.read(folder)
    room = resources.files("exeunt.export.web") / "wasm"
    defined = {"HEADER": f'"{PREFIX}.h"', "NODES": nodes, "INT8": int(dtype == "int8")}
    with resources.as_file(room) as own:
        run_tool(
            [
                compiler,
                *FLAGS,
                *flags,
                *(f"-DPAGE_{name}={value}" for name, value in defined.items()),
                *("-isystem", str(own)),
                *shape.includes,
                *shape.sources(),
                str(own / SOURCES[0]),
                *("-o", str(program)),
            ]
        )
