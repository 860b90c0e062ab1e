"""ExecuTorch, with the XNNPACK backend: one program for each stage."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from exeunt.bench.engine import Array, OneByOne, refusal
from exeunt.bench.workload import Workload


class _Programs(OneByOne):
    def __init__(self, programs: list[Any], workload: Workload) -> None:
        self._programs = programs  # a method does not keep the program alive that it is of
        self._methods = [program.load_method("forward") for program in programs]
        self._inputs = workload.inputs
        self._state: list[Any] = []

    def take(self, picture: int) -> None:
        self._state = [self._inputs[picture : picture + 1]]

    def step(self, k: int) -> Array:
        logits, *self._state = self._methods[k].execute(self._state)
        found: Array = logits.numpy()
        return found


class ExecuTorch:
    """Programs for one image. ReX goes through as torch's operators, without exeunt's kernels."""

    name = "executorch"
    packages: tuple[str, ...] = ("executorch",)
    install = "pip install executorch"
    dtypes: tuple[str, ...] = ("float32",)

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Programs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports and exports
            logging.getLogger("root").setLevel(logging.ERROR)
            try:
                programs = self._programs(workload, threads)
            except Exception as error:  # whatever its exporter makes of a network
                raise refusal(error) from error
        return _Programs(programs, workload)

    def _programs(self, workload: Workload, threads: int) -> list[Any]:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(threads)
        runtime, programs = Runtime.get(), []
        state: Any = workload.net.begin(workload.inputs[:1])
        with torch.no_grad():
            for k, stage in enumerate(workload.net.stages):
                exported = torch.export.export(stage, tuple(state))
                lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
                programs.append(runtime.load_program(bytes(lowered.to_executorch().buffer)))
                _, state = workload.net.step(k, state)
        return programs
