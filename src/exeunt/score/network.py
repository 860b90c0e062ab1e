"""A network that is open to score: stage by stage, weights or an exported folder alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from exeunt.compiled import use_channels_last
from exeunt.errors import ExeuntError
from exeunt.evaluate.record import weights_fingerprint
from exeunt.export.onnx.reader import is_exported, open_folder
from exeunt.policies import Policy
from exeunt.runner import StagedModel
from exeunt.trained import TrainedModel, weights_path

Parts = list[Any]
"""Batch-first tensors of torch, or arrays of NumPy: the state of some rows, or what a policy
remembers of them."""


class Network(Protocol):
    """Stages that can be run on any rows that wait for them.

    Attributes:
        class_names: K of them; empty where the network gives a value.
        exit_macs: cumulative multiply-adds of each of the E exits.
        policy_spec: of the policy.
        at_once: rows that a stage takes fastest.
    """

    class_names: list[str]
    exit_macs: tuple[int, ...]
    policy_spec: str
    at_once: int

    def fingerprint(self) -> str:
        """Of the weights."""

    def prepare(self, image: Image.Image) -> Any:
        """An image as the network takes it, (C, H, W)."""

    def begin(self, images: Sequence[Any]) -> Parts:
        """The state before the first stage."""

    def step(self, k: int, state: Parts) -> tuple[Any, Parts]:
        """Logits (N, K) of exit k, from 0, and the state for the next stage."""

    def leave(self, k: int, logits: Any, memory: Parts) -> tuple[NDArray[np.bool_], Parts]:
        """Who leaves at exit k (N,), and what to remember of everybody."""

    def take(self, part: Any, rows: NDArray[np.int64]) -> Any:
        """Some rows of a tensor."""

    def join(self, parts: Sequence[Any]) -> Any:
        """Rows behind each other."""

    def numbers(self, logits: Any) -> NDArray[np.float32]:
        """Logits in NumPy, float32."""


class TorchNetwork:
    """Weights and a policy, in torch."""

    at_once = 16

    def __init__(self, trained: TrainedModel, policy: Policy) -> None:
        self._trained, self._policy, self._net = trained, policy, use_channels_last(trained.net)
        self._device = next(self._net.parameters()).device
        self.class_names = list(trained.info.class_names)
        self.exit_macs, self.policy_spec = trained.exit_macs, policy.spec

    def fingerprint(self) -> str:
        return weights_fingerprint(self._net)

    def prepare(self, image: Image.Image) -> Any:
        return self._trained.transform(image)

    def begin(self, images: Sequence[Any]) -> Parts:
        return list(self._net.begin(torch.stack(list(images)).to(self._device)))

    def step(self, k: int, state: Parts) -> tuple[Any, Parts]:
        with torch.inference_mode():
            logits, after = self._net.step(k, tuple(state))
        return logits, list(after)

    def leave(self, k: int, logits: Any, memory: Parts) -> tuple[NDArray[np.bool_], Parts]:
        with torch.inference_mode():
            leave, after = self._policy.observe(k, logits, tuple(memory))
        return leave.cpu().numpy(), list(after)

    def take(self, part: Any, rows: NDArray[np.int64]) -> Any:
        return part[torch.from_numpy(rows).to(part.device)]

    def join(self, parts: Sequence[Any]) -> Any:
        return torch.cat(list(parts))

    def numbers(self, logits: Any) -> NDArray[np.float32]:
        return np.asarray(logits.float().cpu().numpy())


class OnnxNetwork:
    """An exported folder, in onnxruntime or OpenVINO."""

    at_once = 4

    def __init__(self, model: StagedModel) -> None:
        self._model = model
        self._names: list[list[str]] = [[] for _ in range(model.num_exits + 1)]
        self.class_names = list(model.class_names)
        self.exit_macs, self.policy_spec = tuple(model.exit_macs), model.policy.spec

    def fingerprint(self) -> str:
        return str(self._model.manifest["sha256"])

    def prepare(self, image: Image.Image) -> Any:
        return self._model.transform(image)

    def begin(self, images: Sequence[Any]) -> Parts:
        return self._parts(0, self._model.chain.begin(np.stack(list(images))))

    def step(self, k: int, state: Parts) -> tuple[Any, Parts]:
        named = dict(zip(self._names[k], state, strict=True))
        logits, after = self._model.chain.step(k, named)
        return logits, self._parts(k + 1, after)

    def leave(self, k: int, logits: Any, memory: Parts) -> tuple[NDArray[np.bool_], Parts]:
        leave, after = self._model.policy.observe(k, logits, memory)
        return np.asarray(leave), after

    def take(self, part: Any, rows: NDArray[np.int64]) -> Any:
        return part[rows]

    def join(self, parts: Sequence[Any]) -> Any:
        return np.concatenate(list(parts))

    def numbers(self, logits: Any) -> NDArray[np.float32]:
        return np.asarray(logits, np.float32)

    def _parts(self, k: int, state: dict[str, Any]) -> Parts:
        self._names[k] = sorted(state)
        return [state[name] for name in self._names[k]]


def open_network(
    model: str,
    policy: str | None = None,
    engine: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
) -> Network:
    """Opens MODEL, once in each process: who asks again gets the one that is open.

    Args:
        model: weights, or an exported folder.
        policy: spec; the stored one if None.
        engine: that runs a folder, onnxruntime or openvino.
        device: that weights run on.
        threads: of the processor; torch's are those of the whole process. None leaves them.

    Raises:
        ExeuntError: when there is no such model, policy or device, or it is damaged.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    return _opened(model, policy, engine, device, threads, _stamp(model), os.getpid())


def _stamp(model: str) -> tuple[int, int] | None:
    """What changes when the file behind MODEL does."""
    path = Path(model) / "manifest.json" if is_exported(model) else weights_path(model)
    if path is None or not path.exists():
        return None
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=2)
def _opened(
    model: str,
    policy: str | None,
    engine: str | None,
    device: str,
    threads: int | None,
    _stamp: object,
    _process: int,
) -> Network:
    if is_exported(model):
        if device != "cpu":
            raise ExeuntError(f"device={device!r}: {model} is an exported folder, for the cpu")
        return OnnxNetwork(open_folder(model, policy, threads, engine or "onnxruntime"))
    if engine is not None:
        raise ExeuntError(f"engine={engine!r} is for exported ONNX folders; {model} is none")
    trained = TrainedModel.load(model, device)
    return TorchNetwork(trained, trained.policy(policy))
