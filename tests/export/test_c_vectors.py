"""What the C runtime makes of the vectors of x86, of every kind that this machine has, and of a
Cortex-M4.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from exeunt.bench.c import FLAGS
from exeunt.data import Transform
from exeunt.export.c import (
    CModel,
    ExitAnswer,
    Float32,
    Int8,
    build_host,
    run_device,
    run_host,
    write_c,
)
from exeunt.export.c.device import COMPILER, EMULATOR
from exeunt.export.c.host import CHECKED
from exeunt.export.c.numbers import Numbers
from exeunt.graph import Graph, build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual
from exeunt.ops.rex import ReX2d
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize

INFO = Path("/proc/cpuinfo")
SHAPE = 3, 15, 22
LEVELS = {
    "x86-64": "sse2",
    "x86-64-v2": "sse4_2 ssse3 popcnt",
    "x86-64-v3": "avx2 bmi2 fma movbe",
    "x86-64-v3 -mavxvnni": "avx2 bmi2 fma movbe avx_vnni",
    "x86-64-v4": "avx512bw avx512cd avx512dq avx512vl",
    "x86-64-v4 -mavx512vnni": "avx512bw avx512cd avx512dq avx512vl avx512_vnni",
}
"""Instruction sets, and what a processor says that has them."""

Run = Callable[..., list[ExitAnswer]]


def wide_net(chained: Callable[..., MultiExitNet]) -> MultiExitNet:
    """More channels than any block of a kernel, and more numbers than are widened at once."""
    torch.manual_seed(0)
    links = [
        (ReX2d(3, 16, 5, 6, 1), 40),
        (InvertedResidual(40, 40, 1, 7), 40),
        (InvertedResidual(40, 36, 2, 14), 36),
        (InvertedResidual(36, 36, 1, 15), 36),
        (ConvNormAct(36, 20, 3), 20),
        (ConvNormAct(20, 571), 571),
        (nn.Conv2d(571, 9, 3), 9),
    ]
    return chained(3, links, (4,))


@pytest.fixture(scope="module", params=["float32", "int8"])
def run(
    request: pytest.FixtureRequest,
    chained: Callable[..., MultiExitNet],
    lively: Any,
    images: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """Builds the net with some flags, and gives the answers of all exits."""
    place, transform = tmp_path_factory.mktemp("net"), Transform(SHAPE[1:])
    pixels = images(2, SHAPE)
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    graph = build_graph(lively(wide_net(chained), inputs), SHAPE[1:])
    numbers = numbers_of(request.param, graph, inputs)
    plan = plan_stream(graph, numbers.element_bytes)
    names = [f"class {k}" for k in range(5)]
    write_c(CModel("net", "", numbers, plan, transform, names, {}), place / "net")
    (place / "images").write_bytes(np.asarray(pixels).tobytes())

    def build_and_run(*flags: str, device: bool = False) -> list[ExitAnswer]:
        if device:
            return list(run_device(place / "net", "net", place / "images", 2).answers)
        build_host(place / "net", place / "program", flags)
        return list(run_host(place / "program", place / "images"))

    return build_and_run


def numbers_of(dtype: str, graph: Graph, inputs: torch.Tensor) -> Numbers:
    if dtype == "float32":
        return Float32(parse_policy("full"))
    return Int8(quantize(graph, observe_ranges(graph, [inputs])), IntegerPolicy())


def knows(level: str) -> bool:
    """Whether there is a compiler that does."""
    compiler = os.environ.get("CC", "cc")
    command = [compiler, *f"-march={level}".split(), "-E", "-x", "c", "/dev/null"]
    return (
        bool(shutil.which(compiler))
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )


@pytest.fixture(scope="module")
def plain(run: Run) -> list[ExitAnswer]:
    """In C without vectors."""
    return run("-O1", "-DEXN_PLAIN")


@pytest.mark.parametrize("level", LEVELS)
def test_bits_are_those_of_plain_c(level: str, run: Run, plain: list[ExitAnswer]) -> None:
    """Nine digits tell floats apart."""
    has = INFO.read_text().split() if INFO.exists() else []
    if not set(LEVELS[level].split()) <= set(has) or not knows(level):
        pytest.skip(f"this machine, or its compiler, has no {level}")
    flags = CHECKED if level in ("x86-64", "x86-64-v3") else ("-O1",)
    assert run(*f"-march={level}".split(), *flags) == plain


@pytest.mark.skipif(not knows("native"), reason="the compiler does not know this machine")
def test_bits_are_the_same_as_fast_as_can_be(run: Run, plain: list[ExitAnswer]) -> None:
    """As `exeunt bench` builds it."""
    assert run(*FLAGS) == plain


@pytest.mark.skipif(
    not all(map(shutil.which, (COMPILER, EMULATOR))), reason=f"needs {EMULATOR} and {COMPILER}"
)
@pytest.mark.parametrize("run", ["int8"], indirect=True)
def test_bits_are_the_same_on_a_device(run: Run, plain: list[ExitAnswer]) -> None:
    """Its loops for many numbers, for more than those take, and for what is left over."""
    assert run(device=True) == plain
