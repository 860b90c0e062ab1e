"""Networks of torchvision and timm, taken all the way: exits, graph, staged ONNX, C in int8.

    python benchmarks/backbones.py [NAME ...] [--out benchmarks/backbones.csv]

Needs both libraries and a C compiler (`pip install "exeunt[timm,torchvision,onnx]"`), and an hour
or so. Weights are random, so nothing is fetched, and nothing is said about accuracy. Rows of
networks that are not named stay in the table as they are; `docs/networks.md` shows it.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Int8, build_host, compare, run_host, write_c
from exeunt.export.onnx import StageModel, write_stages
from exeunt.files import replacing
from exeunt.graph import Graph, build_graph, interpret, plan_stream
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.quantize import IntegerPolicy, observe_ranges, quantize
from exeunt.quantize.graph import run_quantized

TABLE = Path(__file__).with_suffix(".csv")
SIZES = {
    **dict.fromkeys(
        (
            *("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5"),
            *("efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x0_5", "squeezenet1_1"),
            *("densenet121", "googlenet", "convnext_tiny", "swin_t"),
        ),
        ("torchvision", 64),
    ),
    "vit_b_16": ("torchvision", 224),
    **dict.fromkeys(
        (
            *("tf_efficientnet_lite0", "mobilenetv3_large_100", "mobilenetv4_conv_small"),
            *("ghostnet_100", "lcnet_050", "mixnet_s", "repvgg_a0", "mobileone_s0"),
            *("ecaresnet26t", "hgnetv2_b0", "starnet_s1", "rexnet_100", "fastvit_t8"),
            *("convnext_atto", "mobilevit_xxs"),
            *("skresnet18", "resnest14d", "dla46_c", "gcresnext26ts"),
        ),
        ("timm", 64),
    ),
}
"""Every network's library, and the height and width of its images in pixels."""

COMPILED = 8_000_000  # bytes of constants; a compiler takes minutes for more
IMAGES = 2


@dataclass
class Row:
    """What became of a network; `refused` says why something did not.

    Attributes:
        pixels: height and width of the images.
        attached: exits, the last being its own.
        difference: the largest between its own logits and the last exit's.
        macs: to the last exit.
        graph: `yes`, or what has no plain form.
        onnx: stages as the graph writes them, and those that torch writes, and the largest
            difference from PyTorch, as a share of the largest number.
        c: `same bits` where every score of the program was Python's, `written` where no compiler
            was asked, and what else.
    """

    network: str
    pixels: int
    exits: str = ""
    difference: str = ""
    macs: str = ""
    graph: str = "no"
    onnx: str = "no"
    c: str = "no"
    refused: str = ""


def tried(library: str, name: str, pixels: int) -> Row:
    """Takes one network as far as it goes."""
    row = Row(f"{library}/{name}", pixels)
    torch.manual_seed(0)
    try:
        net = create_model(row.network).eval()
    except ExeuntError as error:
        row.refused = told(error)
        return row
    x = torch.randn(IMAGES, 3, pixels, pixels)
    row.exits = str(net.num_exits)
    row.difference = f"{difference(net, own(library, name), x):.3g}"
    row.macs = str(net.exit_info(pixels)[-1].macs)
    try:
        graph = build_graph(net, pixels)
        assert graph.exit_macs[-1] == int(row.macs)
        gap = apart(interpret(graph, x), net(x))
        row.graph = "yes" if gap < 1e-3 else f"off by {gap:.1g}"
    except ExeuntError as error:
        row.refused = told(error)
        graph = None
    try:
        row.onnx = in_onnx(graph or build_graph(net, pixels, whole_stages=True), net, x)
    except ExeuntError as error:
        row.refused = row.refused or told(error)
    if graph is not None:
        try:
            row.c = in_c(graph, net, pixels)
        except ExeuntError as error:
            row.refused = told(error)
    return row


def own(library: str, name: str) -> nn.Module:
    """The network as its library builds it, with the same weights."""
    torch.manual_seed(0)
    package: Any = import_module(library)
    if library == "timm":
        made: nn.Module = package.create_model(name)
    else:
        settled = {"init_weights": False} if name == "googlenet" else {}
        made = package.models.get_model(name, weights=None, **settled)
    return made.eval()


def difference(net: MultiExitNet, backbone: nn.Module, x: Tensor) -> float:
    """The largest between two networks' logits."""
    return float((net(x)[-1] - backbone(x)).abs().max())


def apart(found: Iterable[Tensor], wanted: Iterable[Tensor]) -> float:
    """The largest difference of any exit, as a share of its largest number."""
    pairs = zip(found, wanted, strict=True)
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-6)) for a, b in pairs)


def in_onnx(graph: Graph, net: MultiExitNet, x: Tensor) -> str:
    """How its stages were written, once onnxruntime has given PyTorch's logits."""
    stages = write_stages(graph, {})
    gap = apart(run_stages(stages, graph.image, x), net(x))
    if gap > 1e-3:
        return f"off by {gap:.1g}"
    by_torch = sum(node.operator.kind == "UnloweredStage" for s in graph.stages for node in s.nodes)
    return "yes" if not by_torch else "by torch"


def run_stages(stages: Iterable[StageModel], image: str, x: Tensor) -> list[Tensor]:
    """Logits of every exit, by onnxruntime."""
    import onnxruntime

    held, logits = {image: x.numpy()}, []
    for stage in stages:
        session = onnxruntime.InferenceSession(
            stage.model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        names = [stage.logits, *stage.gives]
        made = session.run(names, {name: held[name] for name in stage.inputs})
        held |= dict(zip(names, made, strict=True))
        logits.append(torch.from_numpy(held[stage.logits]))
    return logits


def in_c(graph: Graph, net: MultiExitNet, pixels: int) -> str:
    """What its C was seen to do."""
    transform = Transform((pixels, pixels))
    generator = np.random.default_rng(0)
    shape = (IMAGES, pixels, pixels, 3)
    images = generator.integers(0, 256, shape, dtype=np.uint8)
    x = torch.stack([transform.normalise_pixels(image) for image in images])
    quantized = quantize(graph, observe_ranges(graph, [x]))
    numbers, names = Int8(quantized, IntegerPolicy()), [f"c{k}" for k in range(net.num_classes)]
    model = CModel("net", "Random weights.", numbers, plan_stream(graph, 1), transform, names, {})
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        folder, program, raw = (Path(temporary) / part for part in ("net", "program", "images"))
        constants = write_c(model, folder)["flash"]["constants_bytes"]
        if constants > COMPILED:
            return "written"
        raw.write_bytes(images.tobytes())
        build_host(folder, program, ("-O1",))
        scores = run_quantized(quantized, x)
        compare(run_host(program, raw), scores, [*map(str, range(IMAGES))], integers=True)
    return "same bits"


def told(error: ExeuntError) -> str:
    """The first clause of an error."""
    return str(error).partition(";")[0]


def merged(table: Path, rows: Iterable[Row]) -> list[Row]:
    """The table with these rows in their places."""
    there = {}
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            there = {row["network"]: Row(**row) for row in csv.DictReader(file)}  # type: ignore[arg-type]
    there |= {row.network: row for row in rows}
    order = [f"{library}/{name}" for name, (library, _) in SIZES.items()]
    return [there[name] for name in order if name in there]


def main() -> None:
    """Tries the networks and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *SIZES], metavar="NAME")
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in asked.names or SIZES:
        library, pixels = SIZES[name]
        start = time.perf_counter()
        with torch.no_grad():
            row = tried(library, name, pixels)
        print(f"{row}  {time.perf_counter() - start:.0f} s", flush=True)
        rows = merged(asked.out, [row])
        with replacing(asked.out) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(field.name for field in fields(Row))
            writer.writerows([getattr(row, f.name) for f in fields(Row)] for row in rows)


if __name__ == "__main__":
    main()
