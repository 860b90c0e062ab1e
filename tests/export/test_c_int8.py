"""int8 networks as C programs, against the integers that Python finds: bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exeunt.data import Transform
from exeunt.export.c import CModel, ExitAnswer, Int8, build_host, run_device, run_host, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.host import CHECKED, run_self_test, run_tool
from exeunt.graph import Graph, StreamedPlan, build_graph, plan_stream
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct
from exeunt.policies import parse_policy
from exeunt.quantize import (
    IntegerPolicy,
    QuantizedGraph,
    observe_ranges,
    quantize,
    run_quantized,
)

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

EMULATED = pytest.mark.skipif(
    not can_emulate("cortex-m4"), reason="needs qemu-system-arm and arm-none-eabi-gcc"
)
SPEC = "consistency:1+confidence:0.4+margin:0.05"


@dataclass(frozen=True)
class Exported:
    """An int8 network and the folder that it was written to."""

    quantized: QuantizedGraph
    policy: IntegerPolicy
    folder: Path

    def scores(self, pixels: np.ndarray) -> list[Tensor]:
        return run_quantized(self.quantized, inputs_of(pixels))


def export(
    net: MultiExitNet,
    pixels: np.ndarray,
    folder: Path,
    name: str = "net",
    plan_of: Callable[[Graph, int], StreamedPlan] = plan_stream,
) -> Exported:
    inputs = inputs_of(pixels)
    graph = build_graph(net, tuple(inputs.shape[2:]))
    quantized = quantize(graph, observe_ranges(graph, [inputs]))
    scales = [quantized.logit_scale(k) for k in range(len(graph.stages))]
    policy = IntegerPolicy.of(parse_policy(SPEC), scales)
    names = [f"class {k}" for k in range(net.num_classes)]
    numbers, plan = Int8(quantized, policy), plan_of(graph, 1)
    write_c(CModel(name, "A test.", numbers, plan, transform_of(pixels), names, {}), folder)
    return Exported(quantized, policy, folder)


def transform_of(pixels: np.ndarray) -> Transform:
    return Transform(pixels.shape[1:3], mode="L" if pixels.shape[3] == 1 else "RGB")


def inputs_of(pixels: np.ndarray) -> Tensor:
    """Images (N, H, W, C) as nets take them, (N, C, H, W)."""
    transform = transform_of(pixels)
    return torch.stack([transform.normalise_pixels(image) for image in pixels])


def check(exported: Exported, answers: Sequence[ExitAnswer], pixels: np.ndarray) -> None:
    """Every score of every exit is the integer that Python finds, and images leave alike."""
    scores = exported.scores(pixels)
    left: dict[int, tuple[int, int]] = {}
    for answer in answers:
        wanted = scores[answer.exit_index][answer.image].tolist()
        assert [int(score) for score in answer.scores] == wanted
        if answer.leave:
            left.setdefault(answer.image, (answer.exit_index, answer.class_index))
    at, classes = exported.policy.leave(scores)
    assert left == dict(enumerate(zip(at.tolist(), classes.tolist(), strict=True)))
    assert len(answers) == len(pixels) * len(scores)


@pytest.mark.parametrize("which", ["every_kernel", "every_rex", "rex_mobilenetv2_035"])
def test_c_says_what_integers_say(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    images, raw = request.getfixturevalue("images"), request.getfixturevalue("raw")
    lively = request.getfixturevalue("lively")
    if which.startswith("rex_"):
        torch.manual_seed(0)
        net, shape = create_model(which, num_classes=5).eval(), (3, 35, 46)
    else:
        net = request.getfixturevalue(which)()
        shape = (1, 37, 41) if which == "every_kernel" else (3, 30, 26)
    pixels = images(4, shape)
    exported = export(lively(net, inputs_of(pixels)), pixels, tmp_path / "net")
    for form in ((), ("-DEXN_PLAIN",)):
        build_host(exported.folder, tmp_path / "program", (*CHECKED, *form))
        check(exported, list(run_host(tmp_path / "program", raw(pixels))), pixels)
    assert "passed" in run_self_test(exported.folder, tmp_path / "test", CHECKED)


def test_what_is_expanded_again_is_the_same(
    blocks_of_mobilenet: Any,
    plan_again: Any,
    images: Any,
    lively: Any,
    raw: Any,
    spread: Any,
    tmp_path: Path,
) -> None:
    pixels = images(3, (1, 37, 41))
    net = lively(blocks_of_mobilenet(), inputs_of(pixels))
    exported = export(net, pixels, tmp_path / "net", plan_of=plan_again)
    for form in ((), ("-DEXN_PLAIN",)):
        build_host(exported.folder, tmp_path / "program", (*CHECKED, *form))
        check(exported, list(run_host(tmp_path / "program", raw(pixels))), pixels)
    if can_emulate("cortex-m4"):
        run = run_device(exported.folder, "net", raw(pixels), len(pixels))
        check(exported, run.answers, pixels)
    made = export(
        net, pixels, tmp_path / "apart", plan_of=lambda *given: spread.plan(plan_again(*given))
    )
    spread.check(made.folder, pixels[0])


@EMULATED
@pytest.mark.parametrize("which", ["every_kernel", "every_rex"])
def test_a_device_says_it_too(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With its own inner loops, which the host has not."""
    images, raw = request.getfixturevalue("images"), request.getfixturevalue("raw")
    net = request.getfixturevalue(which)()
    pixels = images(2, (1, 37, 41) if which == "every_kernel" else (3, 30, 26))
    net = request.getfixturevalue("lively")(net, inputs_of(pixels))
    exported = export(net, pixels, tmp_path / "net")
    run = run_device(exported.folder, "net", raw(pixels), len(pixels))
    check(exported, run.answers, pixels)


MISUSE = """\
#include "one.h"
#include "two.h"
#include <stdio.h>
#include <string.h>

static union { uint32_t align; uint8_t bytes[ONE_ARENA_BYTES + TWO_ARENA_BYTES]; } arena;
static uint8_t image[ONE_HEIGHT * ONE_WIDTH * ONE_CHANNELS];

#define EXPECT(wanted, call) \\
    do { if ((call) != (wanted)) { printf("line %d\\n", __LINE__); return 1; } } while (0)

int main(void)
{
    exn_state a, b;
    unsigned y;
    memset(&a, 0xa5, sizeof a);
    EXPECT(EXN_ERROR_NULL, one_init(NULL, arena.bytes, ONE_ARENA_BYTES));
    EXPECT(EXN_ERROR_NULL, one_init(&a, NULL, ONE_ARENA_BYTES));
    EXPECT(EXN_ERROR_STATE, one_step(&a)); /* whatever was in it before */
    memset(&a, 0xa5, sizeof a);
    EXPECT(EXN_ERROR_ALIGNMENT, one_init(&a, arena.bytes + 1, ONE_ARENA_BYTES));
    EXPECT(EXN_ERROR_STATE, one_step(&a));
    memset(&a, 0xa5, sizeof a);
    EXPECT(EXN_ERROR_SIZE, one_init(&a, arena.bytes, ONE_ARENA_BYTES - 1));
    EXPECT(EXN_ERROR_STATE, one_push_row(&a, image));
    EXPECT(EXN_ERROR_STATE, one_step(&a));
    EXPECT(EXN_ERROR_STATE, one_run(&a, image));
    EXPECT(1, exn_row_place(&a) == NULL);
    EXPECT(1, one_result(&a) == NULL && one_result(NULL) == NULL);
    EXPECT(EXN_ROW, one_init(&a, arena.bytes, ONE_ARENA_BYTES));
    EXPECT(EXN_ROW, two_init(&b, arena.bytes + (ONE_ARENA_BYTES + 3) / 4 * 4, TWO_ARENA_BYTES));
    EXPECT(EXN_ERROR_NULL, one_push_row(&a, NULL));
    EXPECT(EXN_ERROR_NULL, one_run(NULL, image));
    EXPECT(EXN_ERROR_ORDER, one_step(&a));
    EXPECT(1, one_result(&a) == NULL);
    for (y = 0; y < ONE_HEIGHT; y++) { /* two networks at once */
        EXPECT(y + 1 < ONE_HEIGHT ? EXN_ROW : EXN_EXIT,
               one_push_row(&a, image + y * ONE_WIDTH * ONE_CHANNELS));
        EXPECT(y + 1 < ONE_HEIGHT ? EXN_ROW : EXN_EXIT,
               two_push_row(&b, image + y * ONE_WIDTH * ONE_CHANNELS));
    }
    EXPECT(EXN_ERROR_ORDER, one_push_row(&a, image));
    EXPECT(1, exn_row_place(&a) == NULL);
    for (y = 1; y < ONE_EXITS; y++) {
        EXPECT(EXN_EXIT, one_step(&a));
        EXPECT(EXN_EXIT, two_step(&b));
        EXPECT(0, memcmp(one_result(&a)->scores, two_result(&b)->scores, 2 * ONE_CLASSES));
    }
    EXPECT(EXN_ERROR_ORDER, one_step(&a));
    EXPECT(EXN_ROW, one_init(&a, arena.bytes, sizeof arena)); /* again, for another image */
    EXPECT(EXN_EXIT, one_run(&a, image));
    EXPECT(1, one_result(&a)->leave);
    EXPECT(EXN_ERROR_ORDER, one_run(&a, image)); /* without init */
    for (y = 0; y < 8; y++) { /* each status has words of its own */
        unsigned z;
        for (z = 0; z < y; z++) {
            EXPECT(1, strcmp(exn_status_text(1 - (int)y), exn_status_text(1 - (int)z)) != 0);
        }
    }
    EXPECT(0, strcmp(exn_status_text(2), exn_status_text(-7)));
    EXPECT(1, strstr(exn_status_text(EXN_ERROR_ORDER), "begins with init") != NULL);
    return 0;
}
"""


def test_calls_out_of_turn_return_errors_and_two_networks_live_together(
    every_rex: Callable[[], MultiExitNet],
    images: Callable[..., np.ndarray],
    lively: Callable[..., MultiExitNet],
    tmp_path: Path,
) -> None:
    pixels = images(2, (3, 30, 26))
    net = lively(every_rex(), inputs_of(pixels))
    for name in ("one", "two"):
        export(net, pixels, tmp_path / name, name)
    main = tmp_path / "main.c"
    main.write_text(MISUSE)
    two = tmp_path / "two" / "two" / "src"
    build_host(
        tmp_path / "one", tmp_path / "program", (*CHECKED, f"-I{two}", str(two / "two.c")), main
    )
    run_tool([str(tmp_path / "program")])


def test_the_camera_example_builds_with_any_network(
    every_rex: Callable[[], MultiExitNet],
    images: Callable[..., np.ndarray],
    lively: Callable[..., MultiExitNet],
    tmp_path: Path,
) -> None:
    pixels = images(2, (3, 30, 26))
    export(lively(every_rex(), inputs_of(pixels)), pixels, tmp_path / "net")
    example = tmp_path / "example"
    shutil.copytree(Path(__file__).parents[2] / "examples" / "mcu", example)
    run_tool(["make", "-C", str(example), f"MODEL={tmp_path / 'net'}"])
    said = run_tool([str(example / "camera")])
    assert said.startswith("class ")
    assert "at exit" in said


@EMULATED
def test_rows_that_nobody_reads_are_not_asked_for(
    chained: Callable[..., MultiExitNet],
    images: Callable[..., np.ndarray],
    lively: Callable[..., MultiExitNet],
    raw: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Of 12 rows a stem with stride 2 reads the first 11; the next image begins behind the 12th."""
    pixels = images(3, (3, 12, 10))
    net = chained(3, [(ConvNormAct(3, 6, 1, 2), 6), (ConvNormAct(6, 8, 3), 8)], (0,))
    exported = export(lively(net, inputs_of(pixels)), pixels, tmp_path / "net")
    run = run_device(exported.folder, "net", raw(pixels), len(pixels))
    check(exported, run.answers, pixels)
    build_host(exported.folder, tmp_path / "program")
    check(exported, list(run_host(tmp_path / "program", raw(pixels))), pixels)
