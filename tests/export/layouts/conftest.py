"""Two networks, exported with the files of every build system, and a program that needs both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exeunt.data import Transform
from exeunt.export.c import CModel, Float32, Int8, Numbers, write_c
from exeunt.export.c.host import run_tool
from exeunt.graph import build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual
from exeunt.ops.rex import ReX2d
from exeunt.policies import parse_policy
from exeunt.quantize import observe_ranges, quantize
from exeunt.quantize.policy import IntegerPolicy

SHAPE = (3, 30, 26)

BOTH = """\
#include "one.h"
#include "two.h"

static union { uint32_t align; uint8_t one[ONE_ARENA_BYTES]; uint8_t two[TWO_ARENA_BYTES]; } arena;
static uint8_t image[ONE_HEIGHT * ONE_WIDTH * ONE_CHANNELS];

int test_both(void)
{
    int one = one_self_test(arena.one, sizeof arena.one, image);
    return one ? one : 10 * two_self_test(arena.two, sizeof arena.two, image);
}
"""
MAIN = "int test_both(void);\nint main(void)\n{\n    return test_both();\n}\n"

WriteBoth = Callable[[Path, str], Path]


@pytest.fixture(scope="session")
def write_both(
    chained: Callable[..., MultiExitNet],
    lively: Callable[..., MultiExitNet],
    images: Callable[..., np.ndarray],
) -> WriteBoth:
    """Writes `one`, in int8, and `two`, in float32, into a folder, for one build system; and
    `both.c`, which tests both networks, and `main.c`, which ends with what that returns, 0 if all
    is well.
    """
    torch.manual_seed(0)
    links = [
        (ReX2d(3, 4, 2, (5, 4), (3, 2)), 16),
        (InvertedResidual(16, 12, 1, 2), 12),
        (nn.Sequential(ConvNormAct(12, 20, 3, 2)), 20),
    ]
    net, transform = chained(3, links, (0, 1)), Transform(SHAPE[1:])
    inputs = torch.stack([transform.normalise_pixels(image) for image in images(2, SHAPE)])
    graph = build_graph(lively(net, inputs), SHAPE[1:])
    made: dict[str, Numbers] = {
        "one": Int8(quantize(graph, observe_ranges(graph, [inputs])), IntegerPolicy()),
        "two": Float32(parse_policy("confidence:0.9")),
    }

    def write(folder: Path, layout: str) -> Path:
        for name, numbers in made.items():
            plan = plan_stream(graph, numbers.element_bytes)
            classes = [f"class {k}" for k in range(5)]
            write_c(CModel(name, "", numbers, plan, transform, classes, {}), folder / name, layout)
        (folder / "both.c").write_text(BOTH)
        (folder / "main.c").write_text(MAIN)
        return folder

    return write


@pytest.fixture(scope="session")
def everything(write_both: WriteBoth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, with the files of all build systems."""
    return write_both(tmp_path_factory.mktemp("all"), "all")


@pytest.fixture(scope="session")
def cmake() -> Callable[..., Path]:
    """Configures and builds a folder of CMake's in another; skips where there is no CMake."""

    def build(source: Path, place: Path, *options: str, target: Sequence[str] = ()) -> Path:
        if shutil.which("cmake") is None:
            pytest.skip("there is no cmake")
        run_tool(["cmake", "-S", str(source), "-B", str(place), *options])
        chosen = ("--target", *target) if target else ()
        run_tool(["cmake", "--build", str(place), "--parallel", "2", *chosen])
        return place

    return build
