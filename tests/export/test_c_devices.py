"""An exported network on every emulated device, in exactly the memory that it claims."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exeunt.cycles import PARTS, CycleEstimate, estimate_run, exit_cycles
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
LIKE_THE_M4 = ("cortex-m3", "cortex-m4", "cortex-m7")  # which other tests are on


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


@pytest.mark.parametrize("device", [name for name in BOARDS if name not in LIKE_THE_M4])
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
    if device in PARTS and shutil.which("cc"):
        check_counts(estimate_run(program, raw, 2, device), counts, len(scores))
    needed = -(-(run.data_bytes + run.stack_bytes - 64) // 32) * 32
    small = link(program.board, tmp_path / "program.o", (run.stack_bytes - 64) // 8 * 8, needed)
    with pytest.raises(ExeuntError, match="status 99"):
        small.run(raw, 1)


def check_counts(found: list[CycleEstimate], counted: list[int], exits: int) -> None:
    """What is counted by kind is what the board counts."""
    assert len(found) == len(counted)
    for one, instructions in zip(exit_cycles(found, exits), counted, strict=True):
        assert sum(count for count, _ in one.kinds.values()) == pytest.approx(
            instructions, rel=1e-3
        )
        assert one.low <= one.cycles <= one.high


def test_other_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match=r"unknown device 'cortex-m85'; one of cortex-m0, .*v32"):
        run_device(tmp_path, "net", tmp_path, 1, "cortex-m85")
