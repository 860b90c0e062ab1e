"""Generated C, compiled for this machine as a library."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from exeunt.bench.engine import Array, OneByOne, RefusedError
from exeunt.bench.workload import Workload
from exeunt.errors import ExeuntError
from exeunt.policies import Full

PORTABLE = ("-O3",)
FLAGS = (*PORTABLE, "-march=native")
"""Of the compiler, besides the strict ones: for this machine, as `make CFLAGS="-O3 -march=native"`
builds a folder. Scores are the same bits as those of `-O3` alone, which is what compilers get that
do not know their machine."""

NAME = "net"

_SHIM = """\
#include "net.h"

static union {
    uint32_t align;
    uint8_t bytes[NET_ARENA_BYTES];
} arena;
static exn_state state;
static const uint8_t *next_row;

/* Pushes rows until an exit answers: its scores, or NULL after an error. */
static const void *answer(int status)
{
    while (status == EXN_ROW) {
        status = net_push_row(&state, next_row);
        next_row += NET_WIDTH * NET_CHANNELS;
    }
    return status == EXN_EXIT ? net_result(&state)->scores : NULL;
}

const void *measured_start(const uint8_t *image)
{
    next_row = image;
    return answer(net_init(&state, arena.bytes, sizeof arena.bytes));
}

const void *measured_step(void)
{
    return answer(net_step(&state));
}
"""


class _Library(OneByOne):
    """One image at a time; the first stage takes its bytes and normalises them."""

    def __init__(
        self, file: Path, workload: Workload, scales: list[float], score: np.dtype
    ) -> None:
        library = ctypes.CDLL(str(file))
        self._start, self._step = library.measured_start, library.measured_step
        self._start.argtypes = [ctypes.c_void_p]
        self._start.restype = self._step.restype = ctypes.c_void_p
        self._pixels = np.ascontiguousarray(workload.pixels)
        self._image = self._pixels[0]
        self._scales, self._score = scales, score
        self._bytes = len(workload.class_names) * score.itemsize

    def take(self, picture: int) -> None:
        self._image = self._pixels[picture]

    def step(self, k: int) -> Array:
        found = self._step() if k else self._start(self._image.ctypes.data)
        if found is None:
            raise ExeuntError(f"the generated C gives no answer at exit {k + 1}")
        scores = np.frombuffer(ctypes.string_at(found, self._bytes), self._score)
        return scores[None].astype(np.float32) * np.float32(self._scales[k])


def _build(folder: Path) -> None:
    """Compiles the folder as a library.

    Raises:
        RefusedError: there is no compiler, or it refuses.
    """
    from exeunt.export.c import build_host

    shim = folder / "shim.c"
    shim.write_text(_SHIM, encoding="utf-8")
    for flags in (FLAGS, PORTABLE):
        try:
            build_host(folder, folder / "net.so", (*flags, "-shared", "-fPIC"), shim.resolve())
            return
        except ExeuntError as error:
            refused = RefusedError(str(error))
    raise refused


class GeneratedC:
    """What `exeunt export --target c` writes."""

    name = "c"
    packages: tuple[str, ...] = ()
    install = "a C compiler"
    dtypes: tuple[str, ...] = ("float32", "int8")

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Library:
        from exeunt.export.c import CModel, Float32, Int8, Numbers, write_c
        from exeunt.graph import plan_stream
        from exeunt.quantize import IntegerPolicy, QuantizedNet

        if threads != 1:
            raise RefusedError(f"it runs on one thread, not on {threads}")
        numbers: Numbers
        if dtype == "int8":
            scales = [workload.quantized.logit_scale(k) for k in range(workload.net.num_exits)]
            numbers = Int8(workload.quantized, IntegerPolicy.of(Full(), scales))
        else:
            numbers = Float32(Full())
        plan = plan_stream(workload.graph, numbers.element_bytes)
        names = workload.class_names
        write_c(CModel(NAME, workload.name, numbers, plan, workload.transform, names, {}), folder)
        _build(folder)
        score = np.dtype(np.float32 if dtype == "float32" else np.int16)
        opened = _Library(folder / "net.so", workload, numbers.score_scales(workload.graph), score)
        if dtype == "int8":
            opened.exits = QuantizedNet(workload.quantized)
        return opened
