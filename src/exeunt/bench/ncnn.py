"""ncnn, converted by pnnx: one pair of files for each stage."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exeunt.bench.engine import Array, OneByOne, RefusedError
from exeunt.bench.workload import Workload


class _Nets(OneByOne):
    def __init__(self, nets: list[Any], workload: Workload) -> None:
        self._nets, self._inputs = nets, workload.inputs.numpy()
        self._names = [(net.input_names(), sorted(net.output_names())) for net in nets]
        self._state: list[Any] = []

    def take(self, picture: int) -> None:
        import ncnn

        self._state = [ncnn.Mat(self._inputs[picture])]

    def step(self, k: int) -> Array:
        extractor = self._nets[k].create_extractor()
        inputs, outputs = self._names[k]
        for name, tensor in zip(inputs, self._state, strict=True):
            extractor.input(name, tensor)
        logits, *self._state = [extractor.extract(name)[1] for name in outputs]
        return np.array(logits, np.float32)[None]


class Ncnn:
    """Stages in float32: no weight or map is kept in 16 bits."""

    name = "ncnn"
    packages: tuple[str, ...] = ("ncnn", "pnnx")
    install = "pip install ncnn pnnx"
    dtypes: tuple[str, ...] = ("float32",)

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Nets:
        nets = []
        state: Any = workload.net.begin(workload.inputs[:1])
        with torch.no_grad():
            for k, stage in enumerate(workload.net.stages):
                nets.append(_converted(stage, state, folder / f"stage_{k + 1}", threads))
                _, state = workload.net.step(k, state)
        return _Nets(nets, workload)


def _converted(stage: torch.nn.Module, state: Any, path: Path, threads: int) -> Any:
    """One stage, converted and opened.

    Raises:
        RefusedError: pnnx leaves operators in it that ncnn has not.
    """
    import ncnn
    from pnnx import EXEC_PATH

    path.parent.mkdir(exist_ok=True)
    trace: Any = torch.jit.trace
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants, which is wanted
        trace(stage, tuple(state), check_trace=False).save(f"{path}.pt")
    shapes = ",".join(str(list(tensor.shape)).replace(" ", "") for tensor in state)
    command = [EXEC_PATH, f"{path}.pt", f"inputshape={shapes}", "fp16=0"]
    done = subprocess.run(
        command,
        cwd=path.parent,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=600,
        check=False,
    )
    net = ncnn.Net()
    net.opt.num_threads = threads
    for setting in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{setting}", False)
    failed = done.returncode or net.load_param(f"{path}.ncnn.param")
    if failed or net.load_model(f"{path}.ncnn.bin") or not net.output_names():
        raise RefusedError(f"pnnx leaves operators in {path.name} that ncnn has not")
    return net
