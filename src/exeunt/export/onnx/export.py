"""From a trained network to a folder of ONNX files: stages, integers, a policy."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.errors import ExeuntError
from exeunt.export.calibration import (
    CalibrationImages,
    PolicyOptions,
    choose_policy,
    needed_for_int8,
    on_calibration,
)
from exeunt.export.result import Export

if TYPE_CHECKING:
    from exeunt.export.onnx import OnnxModel
    from exeunt.trained import TrainedModel


@dataclass(frozen=True)
class OnnxOptions:
    """How ONNX is wanted.

    Attributes:
        dtype: `int8` or `float32`.
        quantize_rex: ReX in int8 too.
        single_file: one graph too.
    """

    dtype: str
    quantize_rex: bool
    single_file: bool

    def __post_init__(self) -> None:
        if self.quantize_rex and self.dtype != "int8":
            raise ExeuntError("--quantize-rex is for --dtype int8")


def export_onnx(
    model: str,
    trained: TrainedModel,
    images: CalibrationImages | None,
    wanted: PolicyOptions,
    asked: OnnxOptions,
    out: Path,
) -> Export:
    """Writes the folder.

    Raises:
        ExeuntError: for missing packages, or what no ONNX folder can hold.
    """
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise ExeuntError(f'ONNX files are written with {package}: pip install "exeunt[onnx]"')
    from exeunt.evaluate import weights_fingerprint
    from exeunt.export.onnx import OnnxModel, owned_files, write_onnx
    from exeunt.folders import check_folder
    from exeunt.graph import build_graph

    check_folder(out, owned_files)
    if trained.transform.sensor is not None:
        raise ExeuntError(
            f"the transform shows photographs to the sensor {trained.transform.sensor.spec}, which "
            "an ONNX folder cannot do; export the network with a transform without one"
        )
    graph = build_graph(trained.net, trained.transform.image_size, whole_stages=True)
    made = OnnxModel(
        model=model,
        graph=graph,
        transform=trained.transform,
        class_names=trained.info.class_names,
        policy=trained.policy(None),
        fingerprint=weights_fingerprint(trained.net),
        weights=_origin(trained),
        metrics=trained.info.metrics,
        single=asked.single_file,
    )
    if asked.dtype == "int8":
        made = _integers(made, trained, images, wanted, asked.quantize_rex)
    else:
        policy, calibration = choose_policy(trained, images, wanted)
        made = replace(made, policy=policy, calibration=calibration)
    return Export.of(out, write_onnx(made, out))


def _integers(
    made: OnnxModel,
    trained: TrainedModel,
    images: CalibrationImages | None,
    wanted: PolicyOptions,
    quantize_rex: bool,
) -> OnnxModel:
    """Quantises, chooses a policy for what comes out, and says what it does."""
    from exeunt.export.onnx import OnnxNet, open_stages, write_stages
    from exeunt.export.onnx.int8 import kept_modules, quantize_stages

    images = needed_for_int8(images)
    stages = write_stages(made.graph, {"fingerprint": made.fingerprint})
    batches = [batch.numpy() for batch in images.range_batches()]
    quantized = quantize_stages(made.graph, stages, batches, recurrent=quantize_rex)
    net: Any = OnnxNet(open_stages(made.graph.image, quantized), "int8")
    before = images.record(trained)
    table = images.record(replace(trained, net=net))
    policy = wanted.reach(trained, table, before)
    return replace(
        made,
        policy=policy,
        calibration=on_calibration(table, policy, before),
        int8=quantized,
        kept=[] if quantize_rex else kept_modules(made.graph),
    )


def _origin(trained: TrainedModel) -> dict[str, Any]:
    """What a manifest says of the weights, but for what it has elsewhere."""
    elsewhere = ("class_names", "transform", "policy", "metrics", "calibration_hashes")
    facts = asdict(trained.info)
    return {name: value for name, value in facts.items() if name not in elsewhere}
