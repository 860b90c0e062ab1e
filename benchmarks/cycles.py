"""Estimated cycles of CMSIS-NN's kernels, beside what MLPerf Tiny published of them.

How far off is the model of cycles? Here it is applied to somebody else's code, whose time on
silicon is known: the two image networks of MLPerf Tiny, of Arm's kernels, on an STM32L4R5.

    git clone https://github.com/ARM-software/CMSIS-NN
    python benchmarks/cycles.py CMSIS-NN

Weights are random, which changes neither instructions nor addresses.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from exeunt.cycles import CycleEstimate, estimate_run, find_part
from exeunt.errors import ExeuntError
from exeunt.export.c.boards import find_board
from exeunt.export.c.device import ROOMY_STACK_BYTES, compile_sources, link, write_start

DEVICE = "cortex-m4"
PUBLISHED = {  # inferences a second, microTVM with CMSIS-NN, NUCLEO-L4R5ZI, closed division, v1.1
    "VWW, MobileNetV1 x0.25": 3.324,
    "image classification, ResNet8": 2.567,
}
SOURCES = {
    "ConvolutionFunctions": "arm_*s8*.c",
    "FullyConnectedFunctions": "arm_*s8.c",
    "PoolingFunctions": "arm_avgpool*_s8.c",
    "BasicMathFunctions": "arm_elementwise_add_s8.c",
    "NNSupportFunctions": "*.c",
}
FLAGS = ("-Ofast", "-w", "-DARM_MATH_DSP")

PROGRAM = """\
#include "arm_nnfunctions.h"
#include "device.h"
#include "semihosting.h"

enum {{ MAP = {map_bytes} }};
static int8_t maps[4][MAP] __attribute__((aligned(8)));
static int8_t scratch[65536] __attribute__((aligned(8)));
extern const int8_t weights[];
extern const int32_t numbers[];
__asm__(".section .rodata.weights, \\"a\\"\\n.balign 8\\n.global weights\\nweights:\\n"
        ".incbin \\"{weights}\\"\\n.balign 8\\n.global numbers\\nnumbers:\\n.rept 1024\\n"
        ".word 0x40000000\\n.endr\\n.previous");
static int32_t shifts[1024];

static const cmsis_nn_context context = {{scratch, sizeof scratch}};
static const cmsis_nn_per_channel_quant_params channels = {{(int32_t *)numbers, shifts}};

static void network(void)
{{
{calls}
}}

__attribute__((noinline)) void print_answer(void)
{{
    __asm__ volatile("");
}}

int main(void)
{{
    int k;
    for (k = 0; k < 1024; k++) {{
        shifts[k] = -8;
    }}
    device_ticks();
    network();
    device_ticks();
    print_answer();
    return 0;
}}
"""


@dataclass(frozen=True)
class Layer:
    """What is computed: `kind`, from map `source` to map `target`, and where it lies."""

    kind: str
    source: int
    target: int
    size: int
    inputs: int
    outputs: int
    filter: int = 1
    stride: int = 1

    @property
    def output_size(self) -> int:
        return -(-self.size // self.stride)

    @property
    def weights(self) -> int:
        each = 1 if self.kind == "depthwise" else self.inputs
        return self.filter**2 * each * self.outputs if self.macs else 0

    @property
    def macs(self) -> int:
        if self.kind in ("average", "add"):
            return 0
        each = 1 if self.kind == "depthwise" else self.inputs
        return self.output_size**2 * self.filter**2 * each * self.outputs

    def call(self, at: int) -> str:
        """Of CMSIS-NN's function, with weights from `at` on."""
        pad = max((self.output_size - 1) * self.stride + self.filter - self.size, 0) // 2
        shape = f"{{1, {self.size}, {self.size}, {self.inputs}}}"
        out = f"{{1, {self.output_size}, {self.output_size}, {self.outputs}}}"
        source, target = f"&(cmsis_nn_dims){shape}, maps[{self.source}]", f"maps[{self.target}]"
        bias = f"weights + {at}, &(cmsis_nn_dims){{1, 1, 1, {self.outputs}}}, numbers + 512"
        steps, limits = f"{{{self.stride}, {self.stride}}}, {{{pad}, {pad}}}", "{-128, 127}"
        ends = f"{bias}, &(cmsis_nn_dims){out}, {target}"
        if self.kind in ("convolution", "depthwise"):
            whole = self.kind == "convolution"
            function = "arm_convolve_wrapper_s8" if whole else "arm_depthwise_conv_wrapper_s8"
            params = "cmsis_nn_conv_params" if whole else "cmsis_nn_dw_conv_params"
            multiplier = "" if whole else "1, "
            size = f"{self.filter}, {self.filter}"
            kernel = (
                f"{self.outputs}, {size}, {self.inputs}" if whole else f"1, {size}, {self.outputs}"
            )
            given = f"&({params}){{128, -128, {multiplier}{steps}, {{1, 1}}, {limits}}}, &channels"
            kernel = f"&(cmsis_nn_dims){{{kernel}}}"
            return f"    {function}(&context, {given}, {source}, {kernel}, {ends});"
        if self.kind == "matrix":
            given = f"&(cmsis_nn_fc_params){{128, 0, -128, {limits}}}"
            scale = "&(cmsis_nn_per_tensor_quant_params){0x40000000, -8}"
            kernel = f"&(cmsis_nn_dims){{{self.inputs}, 1, 1, {self.outputs}}}"
            words = f"&context, {given}, {scale}, {source}, {kernel}, {ends}"
            return f"    arm_fully_connected_s8({words});"
        if self.kind == "average":
            given = f"&(cmsis_nn_pool_params){{{{1, 1}}, {{0, 0}}, {limits}}}"
            window = f"&(cmsis_nn_dims){{1, {self.size}, {self.size}, 1}}"
            one = f"&(cmsis_nn_dims){{1, 1, 1, {self.outputs}}}"
            return f"    arm_avgpool_s8(&context, {given}, {source}, {window}, {one}, {target});"
        scale, count = "128, 0x40000000, 0", self.size**2 * self.inputs
        given = f"{scale}, {scale}, 20, {target}, -128, 0x40000000, -18, -128, 127, {count}"
        return f"    arm_elementwise_add_s8(maps[{self.source}], {target}, {given});"


def mobilenet() -> list[Layer]:
    """MobileNetV1 x0.25 on 96 x 96 pixels, two classes."""
    layers, size, channels = [Layer("convolution", 0, 1, 96, 3, 8, 3, 2)], 48, 8
    for stride, outputs in (
        *((1, 16), (2, 32), (1, 32), (2, 64), (1, 64), (2, 128)),
        *((1, 128),) * 5,
        *((2, 256), (1, 256)),
    ):
        layers.append(Layer("depthwise", 1, 2, size, channels, channels, 3, stride))
        size //= stride
        layers.append(Layer("convolution", 2, 1, size, channels, outputs))
        channels = outputs
    return [*layers, Layer("average", 1, 2, size, 256, 256), Layer("matrix", 2, 1, 1, 256, 2)]


def resnet() -> list[Layer]:
    """ResNet8 on 32 x 32 pixels, ten classes."""
    layers, size, channels = [Layer("convolution", 0, 1, 32, 3, 16, 3)], 32, 16
    here, *free = 1, 2, 3, 0
    for outputs in (16, 32, 64):
        first, second, other = free
        stride = outputs // channels
        layers.append(Layer("convolution", here, first, size, channels, outputs, 3, stride))
        inner = size // stride
        layers.append(Layer("convolution", first, second, inner, outputs, outputs, 3))
        if stride > 1:
            layers.append(Layer("convolution", here, other, size, channels, outputs, 1, stride))
        kept = other if stride > 1 else here
        layers.append(Layer("add", kept, second, inner, outputs, outputs))
        here, free = second, [first, other, here]
        size, channels = inner, outputs
    first, second, _ = free
    return [
        *layers,
        Layer("average", here, first, size, 64, 64),
        Layer("matrix", first, second, 1, 64, 10),
    ]


NETWORKS = {
    "VWW, MobileNetV1 x0.25": (mobilenet, 7_489_664),
    "image classification, ResNet8": (resnet, 12_501_632),
}


def write_program(layers: list[Layer], place: Path) -> None:
    """The network as calls, with random weights beside it."""
    calls, at = [], 0
    for layer in layers:
        calls.append(layer.call(at))
        at += -(-layer.weights // 4) * 4
    weights = place / "weights.bin"
    weights.write_bytes(random.Random(0).randbytes(at))
    sizes = [(one.size**2 * one.inputs, one.output_size**2 * one.outputs) for one in layers]
    largest = max(map(max, sizes))
    text = PROGRAM.format(map_bytes=largest, weights=weights, calls="\n".join(calls))
    (place / "network.c").write_text(text)


def estimate(layers: list[Layer], kernels: Path, device: str) -> CycleEstimate:
    """Cycles of one run."""
    board = find_board(device)
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        place = Path(temporary)
        start = write_start(board, "network", place)
        write_program(layers, place)
        sources = [str(path) for path in find_sources(kernels)]
        chosen = [*sources, str(place / "network.c"), f"-I{kernels / 'Include'}", *FLAGS]
        compiled = compile_sources(board, [*start, *chosen], place)
        program = link(board, compiled, ROOMY_STACK_BYTES, board.roomy_ram_bytes)
        (one,) = estimate_run(program, place / "weights.bin", 1, device)
    return one


def find_sources(kernels: Path) -> list[Path]:
    """Of its kernels those that may be needed: none of floats, nor of recurrent layers."""
    found = [p for name, each in SOURCES.items() for p in (kernels / "Source" / name).glob(each)]
    left_out = ("f16", "f32", "flt", "lstm", "gru", "svdf", "s4", "transpose", "batch_matmul")
    return [path for path in sorted(found) if not any(word in path.name for word in left_out)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernels", type=Path, help="a checkout of github.com/ARM-software/CMSIS-NN")
    parser.add_argument("--device", default=DEVICE, help=f"one that can be estimated [{DEVICE}]")
    options = parser.parse_args()
    if not (options.kernels / "Include" / "arm_nnfunctions.h").is_file():
        sys.exit(
            f"{options.kernels}: no CMSIS-NN here; bring it with "
            "git clone https://github.com/ARM-software/CMSIS-NN"
        )
    try:
        part = find_part(options.device)
        print(f"{part.core}, {part.name}, {part.clock_mhz:g} MHz; flash: {part.flash}")
        for name, (make, macs) in NETWORKS.items():
            layers = make()
            assert sum(layer.macs for layer in layers) == macs, name
            show(name, macs, estimate(layers, options.kernels, options.device), options.device)
    except ExeuntError as error:
        sys.exit(str(error))


def show(name: str, macs: int, found: CycleEstimate, device: str) -> None:
    """Prints a network's estimate, and what was published of it on the part of the Cortex-M4."""
    clock = find_part(device).clock_mhz * 1e6
    executed = sum(count for count, _ in found.kinds.values())
    waited = found.cycles + found.waiting
    print(f"{name}: {macs / 1e6:.2f} M multiply-adds, {executed / 1e6:.2f} M instructions")
    for label, cycles in (("no wait states", found.cycles), ("with flash", waited)):
        print(f"  {label:15}{cycles / 1e6:8.2f} M cycles{1000 * cycles / clock:9.1f} ms", end="")
        print(f"{cycles / macs:7.2f} per multiply-add")
    if device == DEVICE:
        cycles = clock / PUBLISHED[name]
        print(
            f"  {'published':15}{cycles / 1e6:8.2f} M cycles{1000 / PUBLISHED[name]:9.1f} ms",
            end="",
        )
        print(f"{cycles / macs:7.2f} per multiply-add: {cycles / waited:.2f} times the estimate")


if __name__ == "__main__":
    main()
