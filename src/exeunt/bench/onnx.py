"""Exported folders of ONNX files, by onnxruntime and by OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exeunt.bench.engine import Appointed, Array
from exeunt.bench.subject import Subject
from exeunt.policies import Full
from exeunt.runner import StagedModel

if TYPE_CHECKING:
    from exeunt.runner import State


class _Staged:
    """The runner, by which an exported folder is used."""

    def __init__(self, model: StagedModel, subject: Subject, exits: Any) -> None:
        self.exits = exits
        self._model, self._images = model, subject.inputs.numpy()
        self._state: State = {}

    def start(self) -> None:
        self._state = self._model.chain.begin(self._images[:1])

    def step(self, k: int) -> Array:
        logits, self._state = self._model.chain.step(k, self._state)
        return logits

    def batch(self, leaving: Sequence[int]) -> None:
        policy: Any = Appointed(np.array(leaving))
        self._model.policy = policy
        self._model.predict(self._images)


@dataclass
class Onnx:
    """The runner with one of its engines. int8 leaves ReX in float32, as `exeunt export` does."""

    name: str
    packages: tuple[str, ...]
    install: str
    dtypes: tuple[str, ...] = ("float32", "int8")

    def open(self, subject: Subject, dtype: str, threads: int, folder: Path) -> _Staged:
        from exeunt.export.onnx import OnnxModel, OnnxNet, open_stages, write_onnx, write_stages
        from exeunt.export.onnx.int8 import kept_modules, quantize_stages

        graph, int8, exits = subject.graph, [], None
        if dtype == "int8":
            batches = [batch.numpy() for batch in subject.images]
            int8 = quantize_stages(graph, write_stages(graph, {}), batches)
            exits = OnnxNet(open_stages(graph.image, int8), subject.name)
        made = OnnxModel(
            subject.name,
            graph,
            subject.transform,
            subject.class_names,
            Full(),
            "measured",
            int8=int8,
            kept=kept_modules(graph) if int8 else (),
        )
        write_onnx(made, folder)
        return _Staged(StagedModel(folder, threads, engine=self.name), subject, exits)


ONNXRUNTIME = Onnx("onnxruntime", ("onnx", "onnxruntime"), 'pip install "exeunt[onnx]"')
OPENVINO = Onnx(
    "openvino", ("onnx", "onnxruntime", "openvino"), 'pip install "exeunt[onnx,openvino]"'
)
