"""What images cost in milliseconds: networks side by side, in the engines that people use.

An engine opens a network as stages; all pairs take turns, so that a busy machine slows all of them.
"""

from collections.abc import Iterable

from exeunt.bench.c import GeneratedC
from exeunt.bench.candidates import BenchOptions, Candidate, candidate, trained_candidate
from exeunt.bench.eager import Compiled, Torch
from exeunt.bench.engine import Engine, Opened, RefusedError, missing
from exeunt.bench.executorch import ExecuTorch
from exeunt.bench.litert import LiteRT
from exeunt.bench.machine import describe_machine
from exeunt.bench.measure import WARM_UP, Timing, measure
from exeunt.bench.ncnn import Ncnn
from exeunt.bench.onnx import ONNXRUNTIME, OPENVINO
from exeunt.bench.random_int8 import RandomInt8, quantize_random
from exeunt.bench.row import Row, figure_of, write_timings
from exeunt.bench.side_by_side import Benchmark, measure_side_by_side
from exeunt.bench.single_exit import plain
from exeunt.bench.workload import Workload, assigned_exits, random_pixels, set_batch_statistics
from exeunt.errors import ExeuntError

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Torch(),
        Compiled(),
        ONNXRUNTIME,
        OPENVINO,
        LiteRT(),
        ExecuTorch(),
        Ncnn(),
        GeneratedC(),
    )
}
"""By name, in the order of tables."""


def engines_named(names: Iterable[str]) -> list[Engine]:
    """Those that are asked for, in the order in which they are.

    Raises:
        ExeuntError: for a name that none has.
    """
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in ENGINES:
            raise ExeuntError(f"engine {name!r}: there are {', '.join(ENGINES)}")
    return [ENGINES[name] for name in chosen]


__all__ = [
    "ENGINES",
    "WARM_UP",
    "BenchOptions",
    "Benchmark",
    "Candidate",
    "Engine",
    "Opened",
    "RandomInt8",
    "RefusedError",
    "Row",
    "Timing",
    "Workload",
    "assigned_exits",
    "candidate",
    "describe_machine",
    "engines_named",
    "figure_of",
    "measure",
    "measure_side_by_side",
    "missing",
    "plain",
    "quantize_random",
    "random_pixels",
    "set_batch_statistics",
    "trained_candidate",
    "write_timings",
]
