"""Float32 networks as C programs, against PyTorch and against each other."""

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
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.device import run_device
from exeunt.export.c.float32 import Float32
from exeunt.export.c.folder import CModel, write_c
from exeunt.export.c.host import (
    CHECKED,
    STRICT,
    ExitAnswer,
    build_host,
    run_host,
    run_self_test,
    run_tool,
)
from exeunt.export.c.shape import CLASSIFY, Shape
from exeunt.graph import Graph, build_graph, plan_stream
from exeunt.graph.streamed import StreamedPlan
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.policies import Policy, parse_policy

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

CONVERSIONS = ("-Wconversion", "-Wdouble-promotion")


@dataclass(frozen=True)
class Exported:
    """A network and the folder that it was written to."""

    net: MultiExitNet
    plan: StreamedPlan
    folder: Path

    @torch.no_grad()
    def scores(self, pixels: np.ndarray) -> list[Tensor]:
        return list(self.net(inputs_of(pixels)))


def export(
    net: MultiExitNet,
    shape: tuple[int, int, int],
    folder: Path,
    policy: Policy,
    changed: Callable[[StreamedPlan], StreamedPlan] = lambda plan: plan,
    plan_of: Callable[[Graph, int], StreamedPlan] = plan_stream,
) -> Exported:
    transform = transform_of(shape)
    plan = changed(plan_of(build_graph(net, transform.image_size), 4))
    names = [f"class {k}" for k in range(net.num_classes)]
    write_c(CModel("net", "A test.", Float32(policy), plan, transform, names, {}), folder)
    return Exported(net, plan, folder)


def inputs_of(pixels: np.ndarray) -> Tensor:
    """Images (N, H, W, C) as nets take them, (N, C, H, W)."""
    transform = transform_of((pixels.shape[3], *pixels.shape[1:3]))
    return torch.stack([transform.normalise_pixels(image) for image in pixels])


def transform_of(shape: tuple[int, int, int]) -> Transform:
    return Transform(shape[1:], mode="L" if shape[0] == 1 else "RGB")


def gathered(answers: Sequence[ExitAnswer]) -> list[Tensor]:
    """The scores of all exits, E tensors (N, K)."""
    exits = 1 + max(answer.exit_index for answer in answers)
    return [
        torch.tensor([[*map(float, a.scores)] for a in answers if a.exit_index == k])
        for k in range(exits)
    ]


def median_confidence(scores: Sequence[Tensor]) -> str:
    """A policy that about half of the images satisfy at the first exit, and others later."""
    tops = [mine.div(2).softmax(1).amax(1).median().item() for mine in scores[:-1]]
    return f"confidence:{'/'.join(f'{top:.4f}' for top in tops)},t=2.0"


def median_margin(scores: Sequence[Tensor]) -> str:
    """A policy that nobody satisfies at the first exit, and about half at each of the others."""
    tops = [mine.softmax(1).topk(2).values for mine in scores[1:-1]]
    gaps = [(two[:, 0] - two[:, 1]).median().item() for two in tops]
    return f"margin:inf/{'/'.join(f'{gap:.4f}' for gap in gaps)}"


@pytest.mark.parametrize(
    ("name", "shape", "policy_of"),
    [
        ("every_kernel", (1, 37, 41), median_confidence),
        ("every_rex", (3, 30, 26), median_margin),
        ("rex_mobilenetv2_035", (3, 50, 37), lambda scores: "consistency:1"),
    ],
)
def test_c_says_what_pytorch_says(
    name: str,
    shape: tuple[int, int, int],
    policy_of: Callable[[Sequence[Tensor]], str],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    raw: Callable[..., Path],
    images: Any,
    lively: Any,
    leaving: Any,
) -> None:
    torch.manual_seed(0)
    named = name.startswith("every")
    net = request.getfixturevalue(name)() if named else create_model(name, 5)
    pixels = images(12, shape)
    inputs = inputs_of(pixels)
    with torch.no_grad():
        policy = parse_policy(policy_of(lively(net, inputs)(inputs)))
    made = export(net, shape, tmp_path / "c", policy)
    build_host(made.folder, tmp_path / "program", CHECKED)
    assert "passed" in run_self_test(made.folder, tmp_path / "test", CHECKED)
    includes, net_c = Shape.read(made.folder).includes, str(made.folder / "net" / "src" / "net.c")
    run_tool(["cc", *STRICT, *CONVERSIONS, *includes, "-fsyntax-only", net_c])

    answers = list(run_host(tmp_path / "program", raw(pixels)))
    found, wanted = gathered(answers), made.scores(pixels)
    assert len(found) == len(wanted) == net.num_exits
    for mine, theirs in zip(found, wanted, strict=True):
        within = 1e-4 * theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs, rtol=0, atol=within)
        two = theirs.topk(2, dim=1).values
        clear = two[:, 0] - two[:, 1] > 2 * within
        assert torch.equal(mine.argmax(1)[clear], theirs.argmax(1)[clear])
    assert [a.class_index for a in answers if a.exit_index == 0] == found[0].argmax(1).tolist()

    left = {answer.image: answer.exit_index for answer in reversed(answers) if answer.leave}
    assert [left[k] for k in range(len(pixels))] == leaving(policy, found)
    assert len(set(left.values())) > 2


def test_bits_are_the_same_everywhere(
    every_kernel: Any, tmp_path: Path, raw: Any, images: Any, lively: Any
) -> None:
    """On x86-64 with two levels of optimisation, on aarch64, and on a Cortex-M4, which lets rows be
    written where they will lie. Nine digits tell floats apart.
    """
    torch.manual_seed(0)
    pixels = images(3, (1, 37, 41))
    net = lively(every_kernel(), inputs_of(pixels))
    made = export(net, (1, 37, 41), tmp_path / "c", parse_policy("consistency:1"))
    path = raw(pixels)
    build_host(made.folder, tmp_path / "plain", ("-O0",))
    build_host(made.folder, tmp_path / "fast", ("-O3",))
    wanted = list(run_host(tmp_path / "plain", path))
    assert len(wanted) == 9
    assert list(run_host(tmp_path / "fast", path)) == wanted

    if shutil.which("aarch64-linux-gnu-gcc") and shutil.which("qemu-aarch64"):
        shape = Shape.read(made.folder)
        sources = [*shape.includes, *shape.sources(CLASSIFY)]
        program = str(tmp_path / "arm")
        run_tool(["aarch64-linux-gnu-gcc", *STRICT, "-O2", "-static", *sources, "-o", program])
        lines = run_tool(["qemu-aarch64", program, "--all", str(path)]).splitlines()
        assert [ExitAnswer.read(line.split()) for line in lines] == wanted
    if can_emulate("cortex-m4"):
        assert [*run_device(made.folder, "net", path, len(pixels)).answers] == wanted


def test_nothing_is_written_beside_what_was_planned(
    every_kernel: Any, tmp_path: Path, images: Any, lively: Any, spread: Any
) -> None:
    pixels = images(1, (1, 37, 41))
    torch.manual_seed(0)
    net = lively(every_kernel(), inputs_of(pixels))
    made = export(net, (1, 37, 41), tmp_path / "c", parse_policy("full"), spread.plan)
    spread.check(made.folder, pixels[0])


def test_what_is_expanded_again_has_the_same_bits(
    blocks_of_mobilenet: Any,
    plan_again: Any,
    images: Any,
    lively: Any,
    raw: Any,
    spread: Any,
    tmp_path: Path,
) -> None:
    pixels, full = images(3, (1, 37, 41)), parse_policy("full")
    net = lively(blocks_of_mobilenet(), inputs_of(pixels))
    answers = []
    for plan_of in (plan_stream, plan_again):
        made = export(net, (1, 37, 41), tmp_path / plan_of.__name__, full, plan_of=plan_of)
        build_host(made.folder, tmp_path / "program", CHECKED)
        answers.append(list(run_host(tmp_path / "program", raw(pixels))))
    assert answers[0] == answers[1]
    apart = export(net, (1, 37, 41), tmp_path / "apart", full, spread.plan, plan_again)
    spread.check(apart.folder, pixels[0])
