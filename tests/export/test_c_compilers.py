"""Whether other compilers, and other languages, take what is exported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Float32, Int8, Numbers, build_host, write_c
from exeunt.export.c.boards import BOARDS
from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.host import run_tool
from exeunt.graph import build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy
from exeunt.quantize import observe_ranges, quantize
from exeunt.quantize.policy import IntegerPolicy

SHAPE = (3, 30, 26)
STRICT = (
    *("-Wall", "-Wextra", "-Wconversion", "-Wdouble-promotion", "-Wshadow", "-Werror"),
    "-pedantic",
)
ARM = "/usr/lib/arm-none-eabi/include"  # of Debian's newlib
ARMCLANG = (
    *("clang", "--target=arm-arm-none-eabi", "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"),
    *("-mfloat-abi=hard", "-fshort-enums", "-fshort-wchar", f"-isystem{ARM}"),
)
"""What Arm's compiler is: clang, with settings of its own."""
COMPILERS = {
    "gcc": ("gcc",),
    "clang": ("clang",),
    "armclang": ARMCLANG,
    "arm-none-eabi-gcc": ("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4"),
}


@pytest.fixture(scope="module", params=["int8", "float32"])
def folder(
    request: pytest.FixtureRequest,
    every_rex: Callable[[], MultiExitNet],
    lively: Callable[..., MultiExitNet],
    images: Callable[..., np.ndarray],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A network as C."""
    transform, place = Transform(SHAPE[1:]), tmp_path_factory.mktemp("c") / "net"
    inputs = torch.stack([transform.normalise_pixels(image) for image in images(2, SHAPE)])
    graph = build_graph(lively(every_rex(), inputs), SHAPE[1:])
    numbers: Numbers = Float32(parse_policy("confidence:0.9"))
    if request.param == "int8":
        numbers = Int8(quantize(graph, observe_ranges(graph, [inputs])), IntegerPolicy())
    plan = plan_stream(graph, numbers.element_bytes)
    names = [f"class {k}" for k in range(5)]
    write_c(CModel("net", "", numbers, plan, transform, names, {}), place)
    return place


def includes(folder: Path) -> list[str]:
    return [f"-I{folder / 'exeunt_runtime' / 'src'}", f"-I{folder / 'net' / 'src'}"]


def compile_all(command: Sequence[str], folder: Path) -> None:
    """Every source of a folder, those of the runtime that this network does not use too, which
    are the same in every folder.
    """
    sources = [str(path) for path in sorted(folder.rglob("*.c")) if "_module" not in path.name]
    assert len(sources) > 40
    if json.loads((folder / "report.json").read_text())["dtype"] != "int8":
        sources = [path for path in sources if "runtime" not in path]
    run_tool([*command, *includes(folder), *sources])


@pytest.mark.parametrize(
    ("name", "standard"), [(n, "c99") for n in COMPILERS] + [("gcc", "c11"), ("gcc", "c17")]
)
def test_no_compiler_has_anything_to_say(name: str, standard: str, folder: Path) -> None:
    command = COMPILERS[name]
    if shutil.which(command[0]) is None or (name == "armclang" and not Path(ARM).is_dir()):
        pytest.skip(f"there is no {name}")
    compile_all([*command, *STRICT, f"-std={standard}", "-fsyntax-only"], folder)


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
@pytest.mark.parametrize("level", ["-O0", "-Os"])
def test_a_device_has_registers_enough(level: str, tmp_path: Path) -> None:
    """Loops that need all of them are left to C where the compiler keeps some."""
    sources = sorted(str(file) for file in RUNTIME.iterdir() if str(file).endswith("_s8.c"))
    command = ["arm-none-eabi-gcc", *BOARDS["cortex-m4"].flags, "-mthumb", level, "-c", *sources]
    run_tool(["sh", "-c", f"cd {tmp_path} && {' '.join(command)}"])
    assert len([*tmp_path.glob("*.o")]) == len(sources) > 10


@pytest.mark.skipif(shutil.which("tcc") is None, reason="there is no tcc")
def test_a_compiler_without_extensions_gives_the_same_scores(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tcc knows no vectors and does not claim to be gcc of today."""
    (tmp_path / "raw").write_bytes(bytes(range(256)) * 9 + bytes(36))
    build_host(folder, tmp_path / "here", ("-O2",))
    monkeypatch.setenv("CC", "tcc")
    build_host(folder, tmp_path / "there", ())
    answers = [
        run_tool([str(tmp_path / name), "--all", str(tmp_path / "raw")])
        for name in ("here", "there")
    ]
    assert answers[0].count("\n") == 4
    assert answers[0] == answers[1]


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("standard", ["c++98", "c++11", "c++14", "c++17", "c++20"])
def test_the_headers_are_cpp_too(
    compiler: str, standard: str, folder: Path, tmp_path: Path
) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    program = tmp_path / "program.cpp"
    includes_all = '#include "net.h"\n#include "exn_camera.h"\n'
    program.write_text(includes_all + "int main() { return net_step(0) != EXN_ERROR_NULL; }\n")
    command = [compiler, *STRICT, f"-std={standard}", *includes(folder), "-fsyntax-only"]
    run_tool([*command, str(program)])


def test_the_runtime_of_another_version_is_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "net")
    header = other / "exeunt_runtime" / "src" / "exn.h"
    text = header.read_text()
    assert "#define EXN_RUNTIME 6\n" in text
    header.write_text(text.replace("#define EXN_RUNTIME 6\n", "#define EXN_RUNTIME 5\n"))
    with pytest.raises(ExeuntError, match="net was made for another runtime"):
        build_host(other, tmp_path / "program", ("-O0",))


def test_the_runtime_is_the_same_whatever_the_network(folder: Path) -> None:
    there = {
        item.name: item.read_text() for item in RUNTIME.iterdir() if item.name[-2:] in (".c", ".h")
    }
    place = folder / "exeunt_runtime" / "src"
    assert {path.name: path.read_text() for path in place.iterdir()} == there
