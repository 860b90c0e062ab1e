"""Small graphs by chance and small networks of every family, exported in int8 and in float32: C
against Python at every exit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.data import Transform
from exeunt.export.c import CModel, Float32, Int8, run_device, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.host import CHECKED, STRICT, run_tool
from exeunt.export.c.numbers import Numbers
from exeunt.graph import Graph, build_graph, interpret, plan_stream
from exeunt.graph.operators import Composite, Concat, GlobalAverage
from exeunt.graph.streamed import StreamedPlan
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.ops.rnnpool import RNNPool2d
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize, run_quantized

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

DrawGraph = Callable[..., Graph]
Plan = Callable[[Graph, int], StreamedPlan]
PlanMoved = Callable[[int, Graph, int], StreamedPlan]
Enliven = Callable[[MultiExitNet, Tensor], MultiExitNet]
WriteRaw = Callable[[np.ndarray], Path]

IMAGES = 2
BATCH, BATCHES = 13, 7  # graphs in one program, each in two types of number; and programs
AARCH64 = "aarch64-linux-gnu-gcc"
DEVICE_SEEDS = range(1000, 1008)
RIVAL_SEEDS = range(2000, 2010)
BUDGET_SEEDS = (3012, 3008, 3011)
EMULATED = pytest.mark.skipif(
    not can_emulate("cortex-m4"), reason="needs qemu-system-arm and arm-none-eabi-gcc"
)

SIZE, RIVAL_SIZE, CLASSES = (32, 32), (31, 29), 2
DENSENET = {"layers": (1, 2, 2, 1), "growth": 4, "width": 8}
MSDNET = {"base": 2, "step": 1, "blocks": 3, "width": 4, "growth": 2, "exit_width": 8}
RANET = {"width": 4, "growth": 4, "step": 1, "exit_width": 8, "scales": (1, 2)}
RESNET = {"layers": (1, 2, 3, 1), "widths": (8, 8, 16, 24)}
ZOO: dict[str, dict[str, Any]] = {
    "mobilenetv2_035": {"exit_head": "mixed", "downsample": "mixed"},
    "rex_mobilenetv2_035": {},
    "resnet34": RESNET,
    "rex_resnet34": RESNET,
    "densenet121": DENSENET,
    "rex_densenet121": {"growth": 4},
    "msdnet_cifar10": MSDNET,
    "rex_msdnet": {"width": 4, "growth": 2, "blocks": 2},
    "ranet_cifar10": {**RANET, "factors": (2, 1)},
    "resnet_cifar": {"depth": 20},
    "densenetbc_cifar": {"depth": 22, "growth": 6},
}

RUN = """\
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s\\n", what);
    return 1;
}

#define RUN(p, P)                                                                               \\
    do {                                                                                        \\
        uint8_t *arena = malloc(P##_ARENA_BYTES);                                               \\
        uint8_t image[P##_HEIGHT][P##_WIDTH * P##_CHANNELS];                                    \\
        memset(arena, 0xa5, P##_ARENA_BYTES);                                                   \\
        for (i = 0; i < IMAGES; i++) {                                                          \\
            exn_state state;                                                                    \\
            unsigned y = 0;                                                                     \\
            int status = p##_init(&state, arena, P##_ARENA_BYTES);                              \\
            if (fread(image, 1, sizeof image, stdin) != sizeof image) return failed("no image");\\
            for (k = 0; k < P##_EXITS; k++) {                                                   \\
                const exn_result *result;                                                       \\
                if (k > 0) status = p##_step(&state);                                           \\
                while (status == EXN_ROW && y < P##_HEIGHT)                                     \\
                    status = p##_push_row(&state, image[y++]);                                  \\
                if (status != EXN_EXIT) return failed(#p " does not answer");                   \\
                result = p##_result(&state);                                                    \\
                printf(#p " %u %u", k, (unsigned)result->class_index);                          \\
                for (c = 0; c < P##_CLASSES; c++)                                               \\
                    printf(" " P##_SCORE_FORMAT,                                                \\
                           P##_SCORE_SHOWN(((const p##_score *)result->scores)[c]));            \\
                printf("\\n");                                                                   \\
            }                                                                                   \\
        }                                                                                       \\
        free(arena);                                                                            \\
    } while (0)
"""


@dataclass(frozen=True)
class Case:
    """A graph in one type of number, and what Python says of its images."""

    name: str
    graph: Graph
    numbers: Numbers
    pixels: np.ndarray
    scores: Sequence[Tensor]
    plan: Plan = plan_stream

    def write(self, folder: Path) -> None:
        plan = self.plan(self.graph, self.numbers.element_bytes)
        transform = transform_of(self.pixels)
        write_c(CModel(self.name, "", self.numbers, plan, transform, ["a", "b"], {}), folder)

    def check(self, lines: Sequence[Sequence[str]]) -> None:
        """Lines of exit, class and scores, image after image."""
        told = np.array(lines, dtype=float)
        exits = np.arange(len(self.scores))
        assert (told[:, 0] == np.tile(exits, len(self.pixels))).all()
        found = told[:, 2:].reshape(len(self.pixels), len(exits), -1).swapaxes(0, 1)
        assert (found.argmax(2) == told[:, 1].reshape(-1, len(exits)).T).all()
        wanted = np.stack([scores.numpy() for scores in self.scores]).astype(float)
        if isinstance(self.numbers, Int8):
            assert found.tolist() == wanted.tolist(), self.name
        else:
            reach = np.abs(wanted).max((1, 2), keepdims=True)
            assert (np.abs(found - wanted) <= 1e-4 * reach).all(), self.name


@pytest.fixture(scope="module")
def rivals(lively: Enliven) -> MultiExitNet:
    """All that ReX is compared with, on maps that no window divides, with exits between."""
    torch.manual_seed(3)
    blocks = [
        nn.Conv2d(3, 7, 3, 1),
        GatedPool2d(3, 2, channels=7),
        MixedPool2d(2, 1, channels=7),
        LiftDownPool2d(7, 3, depthwise=False),
        nn.Sequential(nn.Conv2d(7, 9, 1), nn.BatchNorm2d(9), nn.ReLU6()),
        GFGP2d(9, 3, 2),
        RNNPool2d(9, 5, 3, 2, 1),
        ReNet2d(12, 5, (2, 1)),
        ReNet2d(10, 4, 1),
    ]
    for block in blocks[1:3]:
        for parameter in block.parameters():
            nn.init.normal_(parameter)
    backbone = nn.Sequential(*blocks)
    net = attach_exits(backbone, [3, 6], CLASSES, image_shape=(3, *RIVAL_SIZE))
    return lively(net, torch.randn(4, 3, *RIVAL_SIZE))


def drawn(seed: int, draw_graph: DrawGraph, plan_moved: PlanMoved) -> Iterator[Case]:
    """A graph by chance; every other with stages that end elsewhere."""
    for case in cases_of(draw_graph(seed), str(seed)):
        yield replace(case, plan=partial(plan_moved, seed)) if seed % 2 else case


def budgeted(seed: int, draw_chain: DrawGraph, plan_budgeted: PlanMoved) -> Iterator[Case]:
    """A chain by chance, within a budget."""
    for case in cases_of(draw_chain(seed), str(seed)):
        plan = plan_budgeted(seed, case.graph, case.numbers.element_bytes)
        yield replace(case, plan=lambda *_, plan=plan: plan)


def transform_of(pixels: np.ndarray) -> Transform:
    return Transform(pixels.shape[1:3], mode="L" if pixels.shape[3] == 1 else "RGB")


def cases_of(graph: Graph, name: str, plan: Plan = plan_stream) -> Iterator[Case]:
    """In both types of number, with images by chance."""
    channels, height, width = graph.shapes[graph.image]
    pixels = np.random.default_rng(0).integers(
        0, 256, (IMAGES, height, width, channels), dtype=np.uint8
    )
    transform = transform_of(pixels)
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    with torch.no_grad():
        full, scores = Float32(parse_policy("full")), interpret(graph, inputs)
        yield Case(f"f_{name}", graph, full, pixels, scores, plan)
    quantized = quantize(graph, observe_ranges(graph, [inputs]))
    numbers = Int8(quantized, IntegerPolicy())
    yield Case(f"i_{name}", graph, numbers, pixels, run_quantized(quantized, inputs), plan)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All kernels, compiled once, with sanitizers."""
    folder = tmp_path_factory.mktemp("runtime")
    sources = sorted(str(file) for file in RUNTIME.iterdir() if str(file).endswith(".c"))
    script = (
        f"cd {folder} && {os.environ.get('CC', 'cc')} -c {' '.join((*STRICT, *CHECKED, *sources))}"
    )
    run_tool(["sh", "-c", script])
    run_tool(["sh", "-c", f"ar rc {folder}/runtime.a {folder}/*.o"])
    return folder / "runtime.a"


def write_together(cases: Sequence[Case], folder: Path) -> list[str]:
    """Writes one program of all, and its input `images`; returns its sources, without kernels."""
    for case in cases:
        case.write(folder / case.name)
        for ending in "ch":
            shutil.copy(folder / case.name / case.name / "src" / f"{case.name}.{ending}", folder)
    includes = [f'#include "{case.name}.h"' for case in cases]
    runs = [f"    RUN({case.name}, {case.name.upper()});" for case in cases]
    main = ["int main(void)", "{", "    unsigned i, k, c;", *runs, "    return 0;", "}", ""]
    (folder / "main.c").write_text("\n".join([*includes, RUN, *main]))
    (folder / "images").write_bytes(b"".join(case.pixels.tobytes() for case in cases))
    return [*map(str, sorted(folder.glob("*.c")))]


def build(
    sources: Sequence[str], program: Path, *flags: str, compiler: str | None = None
) -> Callable[[], list[str]]:
    """Builds a program; returns what runs it on the images and gives the lines that it prints."""
    settings = (*STRICT, f"-DIMAGES={IMAGES}", "-I", str(RUNTIME), *flags)
    compiler, emulator = compiler or os.environ.get("CC", "cc"), "qemu-aarch64" if compiler else ""
    run_tool([compiler, *settings, *sources, "-o", str(program)])
    command = f"{emulator} {program} < {program.parent / 'images'}"
    return lambda: run_tool(["sh", "-c", command]).splitlines()


def compare(cases: Sequence[Case], runtime: Path, folder: Path) -> None:
    """Builds one program of all, and asks it for every exit of every image."""
    sources = write_together(cases, folder)
    run = build([*sources, str(runtime)], folder / "program", *CHECKED, "-O0")
    told = [line.split() for line in run()]
    for case in cases:
        case.check([words[1:] for words in told if words[0] == case.name])


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_graphs_by_chance(
    batch: int, draw_graph: DrawGraph, plan_moved: PlanMoved, runtime: Path, tmp_path: Path
) -> None:
    seeds = range(batch * BATCH, (batch + 1) * BATCH)
    cases = [case for seed in seeds for case in drawn(seed, draw_graph, plan_moved)]
    compare(cases, runtime, tmp_path)


@pytest.mark.slow
def test_graphs_of_rivals_by_chance(
    draw_graph: DrawGraph, plan_moved: PlanMoved, runtime: Path, tmp_path: Path
) -> None:
    """What ReX is compared with; and rows that are expanded again, of these and of others."""
    cases = []
    for seed in RIVAL_SEEDS:
        plan = partial(plan_moved, seed) if seed % 2 else plan_stream
        cases += cases_of(draw_graph(seed, rivals=seed % 5 > 0), str(seed), plan)
    compare(cases, runtime, tmp_path)


@pytest.mark.slow
def test_budgets_by_chance(
    draw_chain: DrawGraph, plan_budgeted: PlanMoved, runtime: Path, tmp_path: Path
) -> None:
    """Chains within a part of what they take: rows that are expanded again and fleeting ones, bands
    of columns, and stages that end elsewhere.
    """
    cases = [case for seed in BUDGET_SEEDS for case in budgeted(seed, draw_chain, plan_budgeted)]
    plans = [case.plan(case.graph, case.numbers.element_bytes) for case in cases]
    kinds = [{node.operator.kind for node in plan.graph.nodes} for plan in plans]
    assert all(plan.recomputed_macs for plan in plans)
    assert sum(bool(plan.schedule.again) for plan in plans) > 2
    assert sum("Beside" in found for found in kinds) > 2
    compare(cases, runtime, tmp_path)


@EMULATED
@pytest.mark.slow
def test_budgets_by_chance_on_a_device(
    draw_chain: DrawGraph, plan_budgeted: PlanMoved, raw: WriteRaw, tmp_path: Path
) -> None:
    for case in budgeted(BUDGET_SEEDS[0], draw_chain, plan_budgeted):
        on_a_device(case, raw, tmp_path)


@pytest.mark.slow
def test_every_rival_of_rex(rivals: MultiExitNet, runtime: Path, tmp_path: Path) -> None:
    compare([*cases_of(build_graph(rivals, RIVAL_SIZE), "rivals")], runtime, tmp_path)


@EMULATED
@pytest.mark.slow
def test_every_rival_of_rex_on_a_device(
    rivals: MultiExitNet, raw: WriteRaw, tmp_path: Path
) -> None:
    for case in cases_of(build_graph(rivals, RIVAL_SIZE), "rivals"):
        on_a_device(case, raw, tmp_path)


@pytest.mark.slow
def test_rex_of_what_is_not_square(sketch: type[Any], runtime: Path, tmp_path: Path) -> None:
    """Patches, strides, padding and maps: each with sides of their own."""
    cases = []
    for name, size, settings in (
        ("wide", (6, 30), {"patch_size": (6, 8), "stride": 4, "padding": 0}),
        ("high", (30, 6), {"patch_size": (8, 6), "stride": (4, 2), "padding": (1, 3)}),
        ("repeated", (21, 10), {"patch_size": (2, 9), "stride": 7, "padding": "replicate_out"}),
    ):
        net = sketch(3, *size)
        rex = ReX2d(3, 4, 2, **settings)  # type: ignore[arg-type]
        net.exit(net.add(Composite("ReX2d", rex.eval()), net.conv("image", 3)))
        cases += cases_of(net.graph(), name)
    compare(cases, runtime, tmp_path)


@pytest.mark.slow
def test_blocks_of_mobile_networks(
    mobile: tuple[str, MultiExitNet, Tensor], runtime: Path, tmp_path: Path
) -> None:
    name, net, images = mobile
    compare(
        [*cases_of(build_graph(net, (images.shape[2], images.shape[3])), name)], runtime, tmp_path
    )


def test_an_exit_of_means(sketch: type[Any], runtime: Path, tmp_path: Path) -> None:
    """Scores that are means of maps, as SqueezeNet has them, of several tensors too."""
    net = sketch(3, 7, 5)
    maps = [net.conv("image", n, act="relu") for n in (1, 1, 2)]
    for source in (maps[2], net.add(Concat(), *maps[:2])):
        net.stages.append((net.nodes, net.add(GlobalAverage(), source)))
        net.nodes = []
    compare([*cases_of(net.graph(), "means")], runtime, tmp_path)


@EMULATED
@pytest.mark.slow
@pytest.mark.parametrize("mobile", ["mobilenetv3", "chosen"], indirect=True)
def test_blocks_of_mobile_networks_on_a_device(
    mobile: tuple[str, MultiExitNet, Tensor], raw: WriteRaw, tmp_path: Path
) -> None:
    name, net, images = mobile
    for case in cases_of(build_graph(net, (images.shape[2], images.shape[3])), name):
        on_a_device(case, raw, tmp_path)


@EMULATED
@pytest.mark.slow
@pytest.mark.parametrize("seed", DEVICE_SEEDS)
def test_graphs_by_chance_on_a_device(
    seed: int, draw_graph: DrawGraph, plan_moved: PlanMoved, raw: WriteRaw, tmp_path: Path
) -> None:
    """With inner loops of its own, and no byte of RAM more than it claims."""
    for case in drawn(seed, draw_graph, plan_moved):
        on_a_device(case, raw, tmp_path)


@pytest.mark.slow
def test_every_family(lively: Enliven, runtime: Path, tmp_path: Path) -> None:
    compare([case for name in ZOO for case in family(name, lively)], runtime, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which(AARCH64) is None or shutil.which("qemu-aarch64") is None,
    reason=f"needs {AARCH64} and qemu-aarch64",
)
def test_another_processor_prints_the_same(draw_graph: DrawGraph, tmp_path: Path) -> None:
    """Every digit of int8 and float32, however much its compiler makes of the loops."""
    graphs = ((draw_graph(seed), str(seed)) for seed in DEVICE_SEEDS)
    cases = [case for graph, name in graphs for case in cases_of(graph, name)]
    kernels = sorted(str(file) for file in RUNTIME.iterdir() if str(file).endswith(".c"))
    sources = [*write_together(cases, tmp_path), *kernels]
    here = build(sources, tmp_path / "here", "-O2")
    there = build(sources, tmp_path / "there", "-O3", "-static", compiler=AARCH64)
    assert here() == there()


@EMULATED
@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_every_family_on_a_device(
    name: str, lively: Enliven, raw: WriteRaw, tmp_path: Path
) -> None:
    """In int8; float32 there is what single operators and graphs by chance are held to."""
    _, case = family(name, lively)
    on_a_device(case, raw, tmp_path)


@cache
def family(name: str, lively: Enliven) -> list[Case]:
    """In float32 and in int8."""
    torch.manual_seed(0)
    net = create_model(name, CLASSES, **ZOO[name]).eval()
    graph = build_graph(lively(net, torch.randn(4, 3, *SIZE)), SIZE)
    return [*cases_of(graph, name)]


def on_a_device(case: Case, raw: WriteRaw, folder: Path) -> None:
    case.write(folder / case.name)
    run = run_device(folder / case.name, case.name, raw(case.pixels), IMAGES)
    case.check([[*map(str, (a.exit_index, a.class_index)), *a.scores] for a in run.answers])
