"""A folder that runs a network wherever onnxruntime does."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

import exeunt
from exeunt import runner
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.onnx.builder import BATCH, OPSET
from exeunt.export.onnx.script import runner_script
from exeunt.export.onnx.single import single_graph
from exeunt.export.onnx.stages import StageModel, write_stages
from exeunt.export.onnx.stem import rest_of, stem_of
from exeunt.finite import require_finite_weights
from exeunt.folders import replacing_folder
from exeunt.graph import Graph
from exeunt.policies import Policy

RUN = "run.py"
SINGLE = "net.onnx"


@dataclass(frozen=True)
class OnnxModel:
    """What is written.

    Attributes:
        model: what it was made of, as it was asked for.
        graph: the net, lowered.
        transform: from a photograph to the net's input.
        class_names: K of them; empty for a net that gives a value.
        policy: that decides who leaves.
        fingerprint: of the weights.
        weights: what is known of the weights, as it goes into the manifest: the task, how the data
            were split, and where they come from.
        metrics: per split, what the weights' metadata has: samples, and of each exit its accuracy.
        calibration: what the policy does on the calibration split; empty if it was not run.
        int8: the stages quantised, see `quantize_stages`; without them they are in float32.
        kept: names of modules that are in float32 although the rest is not.
        single: whether to add `net.onnx`, all stages in one graph.
    """

    model: str
    graph: Graph
    transform: Transform
    class_names: Sequence[str]
    policy: Policy
    fingerprint: str
    weights: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    int8: Sequence[StageModel] = ()
    kept: Sequence[str] = ()
    single: bool = False

    @property
    def dtype(self) -> str:
        """`int8` or `float32`."""
        return "int8" if self.int8 else "float32"


def write_onnx(model: OnnxModel, folder: str | Path) -> dict[str, Any]:
    """Writes the folder as a whole, or not at all; returns what `manifest.json` holds.

    An older export in the folder is replaced, file by file as its manifest lists them; other files
    stay (`exeunt.folders.replacing_folder`).

    Raises:
        ExeuntError: when the folder holds something else, the policy is none that the runner
            knows, a weight is not finite, or there is an operator without an ONNX form.
        WriteError: when it cannot be written; the folder is as it was.
    """
    require_finite_weights(model.graph.weights(), model.model)
    try:
        runner.Policy(model.policy.spec)
    except runner.RunnerError as error:
        raise ExeuntError(str(error)) from error
    written = model.int8 or write_stages(model.graph, {"fingerprint": model.fingerprint})
    with replacing_folder(folder, owned_files) as place:
        stages = [
            _write_stage(place, number, stage, model.graph)
            for number, stage in enumerate(written, start=1)
        ]
        stages[0] |= _write_stem(place, written[0], model)
        single = _write_single(place, written, model) if model.single else None
        manifest = _manifest(model, stages, single)
        stages[0] |= _write_file(place, stages[0]["file"], _sealed(written[0].model, manifest))
        manifest["sha256"] = runner.digest(manifest)
        text = json.dumps(manifest, indent=2) + "\n"
        (place / runner.MANIFEST).write_text(text, encoding="utf-8")
        (place / RUN).write_text(runner_script(), encoding="utf-8")
    return manifest


def owned_files(folder: Path) -> list[str]:
    """The files that an export wrote into a folder, as its manifest lists them.

    Raises:
        ExeuntError: when the folder holds no export, or its manifest is not as it was written.
    """
    path = folder / runner.MANIFEST
    refused = f"{folder} is there and holds no ONNX export; choose another --out"
    if not path.exists():
        raise ExeuntError(refused)
    try:
        manifest = runner.read_manifest(path)
        found = [runner.MANIFEST, RUN, *(stage["file"] for stage in manifest["stages"])]
        fronts = [stage["stem"] for stage in manifest["stages"] if "stem" in stage]
        found += [stem[part]["file"] for stem in fronts for part in ("weights", "rest")]
        found += [manifest["single"]["file"]] if manifest["single"] else []
    except (runner.RunnerError, KeyError, TypeError) as error:
        raise ExeuntError(f"{refused} ({error})") from error
    return found


def _write_file(place: Path, file: str, made: onnx.ModelProto | bytes) -> dict[str, Any]:
    """Writes a file and says what it is."""
    data = made if isinstance(made, bytes) else made.SerializeToString(deterministic=True)
    (place / file).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return {"file": file, "sha256": digest, "size_bytes": len(data)}


def _write_single(place: Path, stages: Sequence[StageModel], model: OnnxModel) -> dict[str, Any]:
    """Writes all stages as one and says what the manifest says of it."""
    made = single_graph(model.graph, stages, model.policy)
    return {
        **_write_file(place, SINGLE, made),
        "inputs": [one.name for one in made.graph.input],
        "outputs": [one.name for one in made.graph.output],
    }


def _write_stage(place: Path, number: int, stage: StageModel, graph: Graph) -> dict[str, Any]:
    """Writes a stage's file and says what the manifest says of it."""
    outputs = (stage.logits, *stage.gives)
    return {
        **_write_file(place, f"stage_{number}.onnx", stage.model),
        "inputs": list(stage.inputs),
        "outputs": [{"name": name, "shape": list(graph.shapes[name])} for name in outputs],
        "logits": stage.logits,
        "passed_on": list(stage.passed_on),
        "macs": graph.exit_macs[number - 1],
    }


def _write_stem(place: Path, stage: StageModel, model: OnnxModel) -> dict[str, Any]:
    """Writes the first stage's other way, if it has one, and says what the manifest says of it."""
    stem = stem_of(model.graph)
    if stem is None or (model.int8 and not set(stem.nodes) <= set(model.kept)):
        return {}
    gives, rest = rest_of(stage, stem)
    files = {
        "weights": _write_file(place, "stem.safetensors", stem.weights),
        "rest": _write_file(place, "stage_1_rest.onnx", rest),
    }
    return {"stem": {**files, "gives": gives, **stem.says}}


def _manifest(
    model: OnnxModel, stages: list[dict[str, Any]], single: dict[str, Any] | None
) -> dict[str, Any]:
    graph = model.graph
    return {
        "format": runner.FORMAT,
        "model": model.model,
        "dtype": model.dtype,
        "in_float32": list(model.kept),
        "opset": OPSET,
        "batch": BATCH,
        "image": {"name": graph.image, "shape": list(graph.shapes[graph.image])},
        "transform": model.transform.to_dict(),
        "class_names": list(model.class_names),
        "policy": model.policy.spec,
        "stages": stages,
        "single": single,
        "weights": model.weights,
        "metrics": model.metrics,
        "calibration": model.calibration,
        "fingerprint": model.fingerprint,
        "versions": {
            "exeunt": exeunt.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _sealed(stage: onnx.ModelProto, manifest: dict[str, Any]) -> onnx.ModelProto:
    """A stage that says what manifest it is written with."""
    sealed = onnx.ModelProto()
    sealed.CopyFrom(stage)
    sealed.metadata_props.add(key="manifest", value=runner.seal(manifest))
    return sealed
