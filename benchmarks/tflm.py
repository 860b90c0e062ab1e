"""Memory of networks in TensorFlow Lite Micro and here, side by side.

    pip install tflite-micro
    python benchmarks/tflm.py [NAME:PIXELS:CLASSES ...]

Each network, with its last exit alone and random weights, is quantised once; the same integers run
in TFLite Micro's interpreter, whose recording allocator says what its arena took, and are planned
here, layer by layer and row by row. That the nets are the same is checked operator by operator:
given what the interpreter gave it, each of ours gives the same integers, or their neighbours where
a number lies close to a half. (From end to end random weights make more of these.) Below stand the
networks with more exits and with ReX, row by row.

Its arena is made of tensors and of structures, which hold two numbers for each output channel and
pointers; this machine's pointers have 8 bytes and a microcontroller's 4, for our structures too, so
the ratio of tensors alone stands beside that of all. Code, weights and stack are in neither.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from exeunt.bench import quantize_random
from exeunt.export.c.folder import RUNTIME
from exeunt.export.c.host import STRICT, find_compiler, run_tool
from exeunt.graph import Graph, build_graph, plan_stream
from exeunt.models import create_model, list_models
from exeunt.profile.planned import layerwise_memory
from exeunt.quantize import QuantizedGraph, run_quantized
from exeunt.quantize.operators import Weighted

try:
    from tflite_micro import runtime
    from tflm_file import score_scale, write_tflite
except ImportError as error:
    raise SystemExit(f"{error}: pip install tflite-micro") from error

NETS = ("mobilenetv2_050:112:10", "mobilenetv2_050:128:10", "mobilenetv2:224:1000")
ROOM_BYTES = 64 << 20  # more than any arena here takes
IMAGES = 4
PATCHES = 7  # of colour, along each side of an image
STATE = """
#include <stdio.h>
#include "exn.h"
int main(void) { return printf("%zu", sizeof(exn_state)) < 0; }
"""


@dataclass(frozen=True)
class Row:
    """What one way to run a network takes.

    Attributes:
        tensors_bytes: of whatever holds numbers of the network.
        structures_bytes: of what the runtime keeps beside them; 0 for a mere plan.
    """

    name: str
    macs: int
    tensors_bytes: int
    structures_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.tensors_bytes + self.structures_bytes

    def line(self, by: Row) -> str:
        """With how many times as much `by` takes."""
        return (
            f"{self.name:44}{self.macs / 1e6:8.1f}{self.tensors_bytes:11,}"
            f"{self.structures_bytes:12,}{self.total_bytes:11,}{self.total_bytes / 1024:9.1f}"
            f"{by.tensors_bytes / self.tensors_bytes:10.2f}{by.total_bytes / self.total_bytes:8.2f}"
        )


def main(nets: list[str]) -> None:
    state_bytes = measure_state()
    for net in nets:
        name, pixels, classes = net.split(":")
        compare(name, int(pixels), int(classes), state_bytes)


def compare(name: str, pixels: int, classes: int, state_bytes: int) -> None:
    torch.manual_seed(0)
    net = create_model(name, num_classes=classes, exits="last")
    quantized = quantize_random(net, images(IMAGES, pixels), images(IMAGES, pixels))
    graph = quantized.graph
    padded, turned = (write_tflite(quantized, mirrored=mirrored) for mirrored in (False, True))
    print(f"{name} at {pixels} px, {classes} classes, int8")
    tell_agreement(quantized, turned, images(IMAGES, pixels))
    macs, arena = graph.exit_macs[-1], recorded(turned)
    theirs = Row("TFLite Micro", macs, arena["head"], arena["tail"])
    arena_padded = recorded(padded)
    rows = [
        Row("TFLite Micro, padding by operators", macs, arena_padded["head"], arena_padded["tail"]),
        theirs,
        Row("layer by layer (a plan)", macs, layerwise_memory(graph, "int8").total_bytes, 0),
        streamed("row by row", graph, state_bytes),
    ]
    for other, said in ((name, ""), (f"rex_{name}", "ReX, ")):
        for exits in ("last", "paper"):
            if (other, exits) != (name, "last") and other in list_models():
                built = build_graph(create_model(other, num_classes=classes, exits=exits), pixels)
                count = len(built.stages)
                ways = f"{said}{count} exit{'s' if count > 1 else ''}"
                rows.append(streamed(f"row by row, {ways}", built, state_bytes))
    print(
        f"{'':44}{'M MACs':>8}{'tensors':>11}{'structures':>12}{'bytes':>11}{'KiB':>9}"
        f"{'tensors x':>10}{'all x':>8}"
    )
    for row in rows:
        print(row.line(theirs))
    weighted = (op for op in quantized.operators.values() if isinstance(op, Weighted))
    print(
        f"TFLite Micro's structures: {arena['buffers']:,} bytes are its operators' buffers, "
        f"{8 * sum(len(op.weight) for op in weighted):,} of them 8 for each output channel\n"
    )


def streamed(name: str, graph: Graph, state_bytes: int) -> Row:
    arena_bytes = plan_stream(graph, 1).arena_bytes
    return Row(name, graph.exit_macs[-1], arena_bytes, state_bytes)


def recorded(file: bytes) -> Mapping[str, int]:
    """Bytes of a network's arena: `head`, its tensors; `tail`, all else, of which `buffers` belong
    to operators.
    """
    interpreter = runtime.Interpreter.from_bytes(file, arena_size=ROOM_BYTES)
    interpreter.invoke()
    with tempfile.TemporaryFile() as said:
        kept = os.dup(2)
        os.dup2(said.fileno(), 2)  # the allocator prints from C++
        try:
            interpreter.print_allocations()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        said.seek(0)
        text = said.read().decode()
    found = {name: int(size) for name, size in re.findall(r"Arena allocation (\w+) (\d+)", text)}
    (buffers,) = re.findall(r"'Persistent buffer data' used (\d+)", text)
    return {**found, "buffers": int(buffers)}


def tell_agreement(quantized: QuantizedGraph, file: bytes, x: Tensor) -> None:
    """Prints how far the interpreter's integers are from ours, for a mirrored net; fails if any
    operator is more than one step away.
    """
    graph, count, neighbours, same = quantized.graph, 0, 0, 0
    interpreter = runtime.Interpreter.from_bytes(
        file,
        arena_size=ROOM_BYTES,
        intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
    )
    coarse, fine = score_scale(quantized), quantized.logit_scale(0)
    for image in x:
        taken = quantized.scales[graph.image].quantized(image[None])
        interpreter.set_input(channels_last(taken), 0)
        interpreter.invoke()
        theirs = {
            name: channels_first(interpreter.GetTensor(number, 0)["tensor_data"])
            for number, name in enumerate(graph.shapes)
        }
        for node in graph.nodes:
            given = quantized.operators[node.output].run([theirs[name] for name in node.inputs])
            if node.output == graph.stages[0].logits:
                given = coarse.quantized(fine.real(given))
            steps = (given - theirs[node.output]).abs()
            assert steps.max() <= 1, f"{node.module}: {steps.max()} steps apart"
            count, neighbours = count + steps.numel(), neighbours + int(steps.sum())
        scores = run_quantized(quantized, image[None])[0]
        same += int(scores.argmax() == theirs[graph.stages[0].logits].argmax())
    print(
        f"operator by operator: of {count:,} integers {100 * (1 - neighbours / count):.2f} % are "
        f"the same, the others one step apart; end to end: the same class for {same} of {len(x)}"
    )


def channels_last(x: Tensor) -> np.ndarray:
    """(1, C, H, W) to int8 (1, H, W, C), turned by 180 degrees."""
    return np.ascontiguousarray(x.flip(2, 3).permute(0, 2, 3, 1).numpy().astype(np.int8))


def channels_first(tensor: np.ndarray) -> Tensor:
    """The way back, for vectors too."""
    x = torch.from_numpy(tensor).long()
    return x.permute(0, 3, 1, 2).flip(2, 3) if x.dim() == 4 else x


def images(count: int, pixels: int) -> Tensor:
    """Patches of random colours that run into each other."""
    colours = torch.rand(count, 3, PATCHES, PATCHES)
    return 4 * F.interpolate(colours, (pixels, pixels), mode="bicubic").clamp(0, 1) - 2


def measure_state() -> int:
    """Bytes of our runtime's state on this machine."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "state.c").write_text(STATE)
        source, program = str(folder / "state.c"), str(folder / "state")
        run_tool([*find_compiler(), *STRICT, f"-I{RUNTIME}", source, "-o", program])
        return int(run_tool([str(folder / "state")]))


if __name__ == "__main__":
    main(sys.argv[1:] or list(NETS))
