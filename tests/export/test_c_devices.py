"""An exported network on every emulated device, in exactly the memory that it claims."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exeunt.cycles import estimate_run, exit_cycles
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Int8, build_fenced, run_device, run_program, write_c
from exeunt.export.c.boards import BOARDS, can_emulate
from exeunt.export.c.device import link
from exeunt.graph import build_graph, plan_stream
from exeunt.models import create_model
from exeunt.policies import parse_policy
from exeunt.quantize import observe_ranges, quantize, run_quantized
from exeunt.quantize.policy import IntegerPolicy

SIZE = (35, 46)
TESTED_ELSEWHERE = ("cortex-m4",)


@pytest.fixture(scope="module")
def net(lively: Any, images: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """A folder, its images, and the scores of every exit that integers in Python give."""
    torch.manual_seed(0)
    folder, transform = tmp_path_factory.mktemp("device") / "net", Transform(SIZE)
    pixels: np.ndarray = images(2, (3, *SIZE))
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    made = lively(create_model("rex_mobilenetv2_035", num_classes=5).eval(), inputs)
    graph = build_graph(made, SIZE)
    quantized = quantize(graph, observe_ranges(graph, [inputs]))
    scales = [quantized.logit_scale(k) for k in range(len(graph.stages))]
    numbers = Int8(quantized, IntegerPolicy.of(parse_policy("confidence:0.9"), scales))
    write_c(CModel("net", "", numbers, plan_stream(graph, 1), transform, [*"abcde"], {}), folder)
    raw = folder.parent / "images.raw"
    raw.write_bytes(pixels.tobytes())
    scores: list[Tensor] = run_quantized(quantized, inputs)
    return folder, raw, scores


@pytest.mark.parametrize("device", [name for name in BOARDS if name not in TESTED_ELSEWHERE])
def test_every_device_says_what_integers_say(
    device: str, net: tuple[Any, ...], tmp_path: Path
) -> None:
    if not can_emulate(device):
        pytest.skip(f"{BOARDS[device].packages} are not installed")
    folder, raw, scores = net
    program = build_fenced(folder, "net", raw, tmp_path, device)
    run = run_program(program, raw, 2)
    assert len(run.answers) == 2 * len(scores)
    for answer in run.answers:
        wanted = scores[answer.exit_index][answer.image].tolist()
        assert [*map(int, answer.scores)] == wanted
    assert run.total_bytes - run.data_bytes - run.stack_bytes in range(32 + 8)
    counts = [*run.instructions]
    assert counts[: len(scores)] == sorted(counts[: len(scores)])
    needed = -(-(run.data_bytes + run.stack_bytes - 64) // 32) * 32
    small = link(program.board, tmp_path / "program.o", (run.stack_bytes - 64) // 8 * 8, needed)
    with pytest.raises(ExeuntError, match="status 99"):
        small.run(raw, 1)


@pytest.mark.skipif(
    not can_emulate("cortex-m33") or shutil.which("cc") is None,
    reason="needs qemu-system-arm, arm-none-eabi-gcc and a C compiler",
)
def test_what_is_counted_by_kind_is_what_the_board_counts(
    net: tuple[Any, ...], tmp_path: Path
) -> None:
    folder, raw, scores = net
    program = build_fenced(folder, "net", raw, tmp_path, "cortex-m33")
    run = run_program(program, raw, 2)
    found = exit_cycles(estimate_run(program, raw, 2, "cortex-m33"), len(scores))
    assert len(found) == len(run.instructions)
    for one, counted in zip(found, run.instructions, strict=True):
        assert sum(count for count, _ in one.kinds.values()) == pytest.approx(counted, rel=1e-3)
        assert one.low <= one.cycles <= one.high
        assert one.waiting > 0


def test_other_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match=r"unknown device 'cortex-m85'; one of cortex-m0, .*v32"):
        run_device(tmp_path, "net", tmp_path, 1, "cortex-m85")
