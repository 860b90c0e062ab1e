"""What images cost in milliseconds: networks side by side, in the engines that people use.

An engine opens a network as stages; all pairs take turns, so that a busy machine slows all of them.
"""

from exeunt.bench.c import GeneratedC
from exeunt.bench.eager import Compiled, Torch
from exeunt.bench.engine import Engine, Opened, RefusedError, missing
from exeunt.bench.executorch import ExecuTorch
from exeunt.bench.litert import LiteRT
from exeunt.bench.machine import describe_machine
from exeunt.bench.measure import WARM_UP, Timing, measure
from exeunt.bench.ncnn import Ncnn
from exeunt.bench.onnx import ONNXRUNTIME, OPENVINO
from exeunt.bench.plain import plain
from exeunt.bench.subject import Subject, appointed, enliven, noise

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

__all__ = [
    "ENGINES",
    "WARM_UP",
    "Engine",
    "Opened",
    "RefusedError",
    "Subject",
    "Timing",
    "appointed",
    "describe_machine",
    "enliven",
    "measure",
    "missing",
    "noise",
    "plain",
]
