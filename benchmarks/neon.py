"""Instructions of generated C in int8 on aarch64: with NEON, and in plain C.

    python benchmarks/neon.py [--image-size 112] [--networks mobilenetv2,rex_mobilenetv2_mingru,...]

There is no such processor here, so instructions are counted in place of milliseconds, by a plugin
of qemu-aarch64 (user mode): those of one image from its first row to the last exit's scores.
Networks have 1000 classes and random weights, and their last exit alone; both builds are made of
the same files with `-O3`, and their scores must be Python's.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from goals import FORMS, register_forms

from exeunt.bench.candidates import BenchOptions, candidate
from exeunt.cycles.count import build_plugin, read_counts
from exeunt.errors import ExeuntError
from exeunt.export.c import CModel, Int8, write_c
from exeunt.export.c.host import STRICT, run_tool
from exeunt.export.c.shape import Shape
from exeunt.graph import plan_stream
from exeunt.policies import Full
from exeunt.quantize import IntegerPolicy, run_quantized

COMPILER, NM, EMULATOR = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-nm", "qemu-aarch64"
NETWORKS = ("mobilenetv2", *FORMS)
BUILDS = {"plain C": ("-DEXN_PLAIN",), "NEON": ()}
SHOWN = 6  # functions of a build

PROGRAM = """\
#include "net.h"

#include <stdio.h>

static union {
    uint32_t align;
    uint8_t bytes[NET_ARENA_BYTES];
} arena;
static exn_state state;
static uint8_t image[NET_HEIGHT * NET_WIDTH * NET_CHANNELS];

__attribute__((noinline)) void window(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void mark(void)
{
    __asm__ volatile("");
}

int main(int count, char **words)
{
    FILE *file = count == 2 ? fopen(words[1], "rb") : NULL;
    const uint8_t *row = image;
    const net_score *scores;
    int status, k;
    if (file == NULL || fread(image, 1, sizeof image, file) != sizeof image) {
        return 1;
    }
    window();
    status = net_init(&state, arena.bytes, sizeof arena.bytes);
    for (; status == EXN_ROW; row += NET_WIDTH * NET_CHANNELS) {
        status = net_push_row(&state, row);
    }
    window();
    mark();
    if (status != EXN_EXIT) {
        return 1;
    }
    scores = net_result(&state)->scores;
    for (k = 0; k < NET_CLASSES; k++) {
        printf("%d\\n", (int)scores[k]);
    }
    return 0;
}
"""


def count(folder: Path, flags: tuple[str, ...], image: Path) -> tuple[str, Counter[str]]:
    """What a build of an exported folder says of an image, and instructions by function."""
    program, plugin, out = (folder / name for name in ("counted", "counter.so", "counts.txt"))
    main = folder / "counted.c"
    main.write_text(PROGRAM, encoding="ascii")
    shape = Shape.read(folder)
    sources = [*shape.includes, *shape.sources(str(main))]
    run_tool([COMPILER, *STRICT, "-O3", "-static", *flags, *sources, "-o", str(program)])
    build_plugin(EMULATOR, plugin)
    rows = [line.split() for line in run_tool([NM, "-S", "-n", str(program)]).splitlines()]
    spans = {row[3]: (int(row[0], 16), int(row[1], 16)) for row in rows if len(row) == 4}
    first, size = spans["window"]
    told = f"out={out},window={first}-{first + size},mark={spans['mark'][0]}"
    said = run_tool([EMULATOR, "-plugin", f"{plugin},{told},line=16", str(program), str(image)])
    (counted,) = read_counts(out.read_text(encoding="ascii"))
    found: Counter[str] = Counter()
    for at, length, times, _ in counted.blocks:
        found[_function(spans, at)] += length * times
    return said, found


def _function(spans: dict[str, tuple[int, int]], at: int) -> str:
    names = (name for name, (begin, size) in spans.items() if begin <= at < begin + size)
    return next(names, "other")


def counted(name: str, size: int) -> tuple[int, dict[str, Counter[str]]]:
    """Multiply-adds of a network, and the instructions of each build by function.

    Raises:
        ExeuntError: when a score differs from Python's.
    """
    asked = BenchOptions((size, size), 1, None, None, None, None)
    one = candidate(name, asked, single=True).workload
    scales = [one.quantized.logit_scale(k) for k in range(one.net.num_exits)]
    numbers = Int8(one.quantized, IntegerPolicy.of(Full(), scales))
    macs = one.net.exit_info((size, size))[-1].macs
    wanted = run_quantized(one.quantized, one.inputs)[-1][0].tolist()
    found = {}
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        folder, image = Path(temporary, "net"), Path(temporary, "image")
        folder.mkdir()
        plan = plan_stream(one.graph, numbers.element_bytes)
        names = one.class_names
        write_c(CModel("net", one.name, numbers, plan, one.transform, names, {}), folder)
        image.write_bytes(one.pixels[0].tobytes())
        for build, flags in BUILDS.items():
            said, found[build] = count(folder, flags, image)
            if [int(score) for score in said.split()] != wanted:
                raise ExeuntError(f"{name}, {build}: its scores are not Python's")
    return macs, found


def missing_tools() -> list[str]:
    """What is needed and not here."""
    return [tool for tool in (COMPILER, NM, EMULATOR) if shutil.which(tool) is None]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--networks", default=",".join(NETWORKS), help="separated by commas")
    options = parser.parse_args(arguments)
    if missing := missing_tools():
        raise ExeuntError(f"needs {', '.join(missing)}")
    register_forms()
    for name in options.networks.split(","):
        macs, found = counted(name, options.image_size)
        for build, by_function in found.items():
            total = sum(by_function.values())
            most = ", ".join(f"{k} {v / total:.0%}" for k, v in by_function.most_common(SHOWN))
            print(f"{name:24}{build:9}{total / 1e6:9.1f} M{total / macs:8.2f} a MAC  ({most})")
        print(f"{name:24}{macs / 1e6:.1f} M MACs; scores are Python's")


if __name__ == "__main__":
    main()
