"""PyTorch as it is, and its stages compiled."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from exeunt.bench.engine import Array, AssignedExits, OneByOne, RefusedError
from exeunt.bench.workload import Workload
from exeunt.compiled import CompileError, compile_stages, use_channels_last
from exeunt.inference import infer
from exeunt.net import MultiExitNet, State


class _Stages(OneByOne):
    """Stages of PyTorch; a policy's batch runs image by image."""

    def __init__(self, net: MultiExitNet, workload: Workload) -> None:
        self._net, self._inputs = net, workload.inputs
        self._state: State = ()

    def take(self, picture: int) -> None:
        self._state = self._net.begin(self._inputs[picture : picture + 1])

    def step(self, k: int) -> Array:
        with torch.inference_mode():
            logits, self._state = self._net.step(k, self._state)
        found: Array = logits.numpy()
        return found


class _Batches(_Stages):
    """The same, and batches that shrink."""

    def batch(self, leaving: Sequence[int]) -> None:
        policy: Any = AssignedExits(torch.tensor(leaving))
        infer(self._net, self._inputs, policy)


class Torch:
    """Eager PyTorch, channels last where that helps, ReX by exeunt's kernels where they are."""

    name = "torch"
    packages: tuple[str, ...] = ("torch",)
    install = "pip install torch"
    dtypes: tuple[str, ...] = ("float32",)

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Stages:
        return _Batches(use_channels_last(copy.deepcopy(workload.net)), workload)


class Compiled(Torch):
    """`torch.compile`, stage by stage, for one image at a time."""

    name = "compile"

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Stages:
        try:
            net = compile_stages(
                use_channels_last(copy.deepcopy(workload.net)), workload.inputs[:1]
            )
        except CompileError as error:
            raise RefusedError(str(error)) from error
        return _Stages(net, workload)
