"""LiteRT, converted by litert-torch: one .tflite file for each stage, for one image."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exeunt.bench.engine import Array, OneByOne, refusal
from exeunt.bench.workload import Workload

_SIGNATURE = "serving_default"
_RECURRENT = r"\.(ReX2d|ReNet2d)_"


class _Program:
    """One stage; in int8, what goes in and out is int8 too."""

    def __init__(self, model: bytes, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.inputs, self.outputs = (sorted(one, key=lambda at: at["name"]) for one in details)

    def run(self, state: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """What comes of the tensors that it takes."""
        for at, tensor in zip(self.inputs, state, strict=True):
            self._interpreter.set_tensor(at["index"], tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(at["index"]) for at in self.outputs]


class _Programs(OneByOne):
    def __init__(self, programs: list[_Program], inputs: Tensor) -> None:
        self._programs, self._inputs = programs, inputs
        self._state: list[NDArray[Any]] = []

    def take(self, picture: int) -> None:
        self.take_up(self._inputs[picture : picture + 1])

    def take_up(self, image: Tensor) -> None:
        """Takes up an image (1, C, H, W)."""
        (at,) = self._programs[0].inputs
        (found,) = _channels_last([image])
        scale, zero = at["quantization"]
        if scale:
            limits = np.iinfo(at["dtype"])
            found = np.clip(np.round(found / scale) + zero, limits.min, limits.max)
        self._state = [found.astype(at["dtype"])]

    def step(self, k: int) -> Array:
        program = self._programs[k]
        logits, *self._state = program.run(self._state)
        scale, zero = program.outputs[0]["quantization"]
        given = logits.astype(np.float32)
        return (given - np.float32(zero)) * np.float32(scale) if scale else given


class _Exits(nn.Module):
    """Takes images (N, C, H, W) and gives E logits (N, K)."""

    def __init__(self, programs: _Programs, workload: Workload) -> None:
        super().__init__()
        self._programs = programs
        self.num_exits, self.num_classes = workload.net.num_exits, len(workload.class_names)
        name = torch.tensor(list(f"{workload.name} in LiteRT".encode()), dtype=torch.uint8)
        self.register_buffer("identity", name)  # in place of weights, its fingerprint is of this

    def forward(self, images: Tensor) -> list[Tensor]:
        found: list[list[Tensor]] = [[] for _ in range(self.num_exits)]
        for image in images:
            self._programs.take_up(image[None])
            for k, logits in enumerate(found):
                logits.append(torch.from_numpy(self._programs.step(k)))
        return [torch.cat(logits) for logits in found]


class LiteRT:
    """Maps lie channels last, as LiteRT has them. ReX goes through as torch's operators, and stays
    in float32: quantised by LiteRT it gives noise.
    """

    name = "litert"
    packages: tuple[str, ...] = ("ai_edge_litert", "ai_edge_quantizer", "litert_torch")
    install = "pip install litert-torch"
    dtypes: tuple[str, ...] = ("float32", "int8")

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Programs:
        with _quietly():
            try:
                programs = list(_programs(workload, dtype, threads))
            except Exception as error:  # whatever its converter makes of a network
                raise refusal(error) from error
        opened = _Programs(programs, workload.inputs)
        if dtype == "int8":
            opened.exits = _Exits(_Programs(programs, workload.inputs), workload)
        return opened


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keeps to itself what converters say, some of it past Python."""
    before = os.dup(2)
    with warnings.catch_warnings(), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        warnings.simplefilter("ignore")
        os.dup2(nowhere.fileno(), 2)
        try:
            from litert_torch.progress import config

            config.show_progress = False
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


@torch.no_grad()
def _programs(workload: Workload, dtype: str, threads: int) -> Iterator[_Program]:
    import litert_torch

    images = torch.cat(list(workload.images)) if dtype == "int8" else workload.inputs[:1]
    state: Any = workload.net.begin(images)
    for k, stage in enumerate(workload.net.stages):
        one = [tensor[:1] for tensor in state]
        wrapped = litert_torch.to_channel_last_io(
            stage, args=_maps(one), outputs=_maps(stage(*one))
        )
        example = tuple(torch.from_numpy(tensor) for tensor in _channels_last(one))
        model = litert_torch.convert(wrapped, example).model_content()
        if dtype == "int8":
            model = _integers(model, _channels_last(state))
        yield _Program(model, threads)
        _, state = workload.net.step(k, state)


def _maps(tensors: Sequence[Tensor]) -> list[int]:
    return [number for number, tensor in enumerate(tensors) if tensor.ndim == 4]


def _channels_last(tensors: Sequence[Tensor]) -> list[NDArray[Any]]:
    """Maps (N, C, H, W) as (N, H, W, C); other tensors as they are."""
    return [
        np.ascontiguousarray(tensor.numpy().transpose(0, 2, 3, 1) if tensor.ndim == 4 else tensor)
        for tensor in tensors
    ]


def _integers(model: bytes, state: list[NDArray[Any]]) -> bytes:
    """A stage in int8 but for its recurrences, with the ranges that it has for what comes in.

    Args:
        model: in float32, for one image.
        state: what it takes, of N images.
    """
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName
    from ai_edge_quantizer.quantizer import Quantizer
    from ai_edge_quantizer.recipe import static_wi8_ai8

    quantizer = Quantizer(bytearray(model), static_wi8_ai8())
    quantizer.update_quantization_recipe(  # tensors are called after the classes of modules
        _RECURRENT, TFLOperationName.ALL_SUPPORTED, algorithm_key=AlgorithmName.NO_QUANTIZE
    )
    feeds = [
        {f"args_{number}": tensor[n : n + 1] for number, tensor in enumerate(state)}
        for n in range(len(state[0]))
    ]
    ranges = quantizer.calibrate({_SIGNATURE: feeds}, num_threads=1)
    found = quantizer.quantize(ranges, enable_progress_report=False)
    return bytes(found.quantized_model)
