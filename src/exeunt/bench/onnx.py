"""Exported folders of ONNX files, by onnxruntime and by OpenVINO."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exeunt.bench.engine import Array, AssignedExits
from exeunt.bench.workload import Workload
from exeunt.policies import Full
from exeunt.runner import StagedModel

if TYPE_CHECKING:
    from exeunt.runner import State


class _Staged:
    """The runner, by which an exported folder is used."""

    def __init__(self, model: StagedModel, workload: Workload, exits: Any) -> None:
        self.exits = exits
        self._model, self._images = model, workload.inputs.numpy()
        self._state: State = {}

    def start(self) -> None:
        self._state = self._model.chain.begin(self._images[:1])

    def step(self, k: int) -> Array:
        logits, self._state = self._model.chain.step(k, self._state)
        return logits

    def batch(self, leaving: Sequence[int]) -> None:
        policy: Any = AssignedExits(np.array(leaving))
        self._model.policy = policy
        self._model.predict(self._images)


@dataclass
class Onnx:
    """The runner with one of its engines. int8 leaves ReX in float32, as `exeunt export` does."""

    name: str
    packages: tuple[str, ...]
    install: str
    dtypes: tuple[str, ...] = ("float32", "int8")

    def open(self, workload: Workload, dtype: str, threads: int, folder: Path) -> _Staged:
        from exeunt.export.onnx import OnnxModel, OnnxNet, open_stages, write_onnx, write_stages
        from exeunt.export.onnx.int8 import kept_modules, quantize_stages

        graph, int8, exits = workload.onnx_graph, [], None
        if dtype == "int8":
            batches = [batch.numpy() for batch in workload.images]
            int8 = quantize_stages(graph, write_stages(graph, {}), batches)
            exits = OnnxNet(open_stages(graph.image, int8), workload.name)
        made = OnnxModel(
            workload.name,
            graph,
            workload.transform,
            workload.class_names,
            Full(),
            "measured",
            int8=int8,
            kept=kept_modules(graph) if int8 else (),
        )
        write_onnx(made, folder)
        return _Staged(StagedModel(folder, threads, engine=self.name), workload, exits)


ONNXRUNTIME = Onnx("onnxruntime", ("onnx", "onnxruntime"), 'pip install "exeunt[onnx]"')
OPENVINO = Onnx(
    "openvino", ("onnx", "onnxruntime", "openvino"), 'pip install "exeunt[onnx,openvino]"'
)
