"""`exeunt export --target onnx`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.cli.exporting import (
    Images,
    Wanted,
    calibration_facts,
    choose_policy,
    float32_facts,
    needed_for_int8,
    on_calibration,
)
from exeunt.cli.render import short_spec, show_facts
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel
    from exeunt.export.onnx import OnnxModel


@dataclass(frozen=True)
class AsOnnx:
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
    images: Images | None,
    wanted: Wanted,
    asked: AsOnnx,
    out: Path,
) -> dict[str, Any]:
    """Writes the folder and returns its manifest."""
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise ExeuntError(f'ONNX files are written with {package}: pip install "exeunt[onnx]"')
    from exeunt.evaluate import weights_fingerprint
    from exeunt.export.onnx import OnnxModel, write_onnx
    from exeunt.graph import build_graph

    graph = build_graph(trained.net, trained.transform.image_size)
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
    return write_onnx(made, out)


def _single_facts(single: dict[str, Any] | None) -> list[tuple[str, str]]:
    if single is None:
        return []
    warning = "one image at a time; a quantiser would leave its branches in float32"
    return [("one graph", f"{single['file']}, {single['size_bytes']} bytes: {warning}")]


def _integers(
    made: OnnxModel,
    trained: TrainedModel,
    images: Images | None,
    wanted: Wanted,
    quantize_rex: bool,
) -> OnnxModel:
    """Quantises, chooses a policy for what comes out, and says what it does."""
    from exeunt.export.onnx import OnnxNet, open_stages, write_stages
    from exeunt.export.onnx.int8 import kept_modules, quantize_stages

    images = needed_for_int8(images)
    stages = write_stages(made.graph, {"fingerprint": made.fingerprint})
    batches = [batch.numpy() for batch in images.some()]
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


def show_onnx(out: Path, manifest: dict[str, Any]) -> None:
    """Says what was written, for people."""
    stages = manifest["stages"]
    size = sum(stage["size_bytes"] for stage in stages)
    facts = [
        ("written", f"{out} ({manifest['dtype']}, opset {manifest['opset']})"),
        ("stages", f"{len(stages)} files, {size} bytes"),
        *_single_facts(manifest["single"]),
        ("policy", short_spec(manifest["policy"])),
    ]
    found = manifest["calibration"]
    if found:
        facts += calibration_facts(found)
        if manifest["dtype"] == "int8":
            facts += float32_facts(found)
            facts += [("in float32", ", ".join(manifest["in_float32"]) or "nothing")]
    folder, program = shlex.quote(str(out)), shlex.quote(str(out / "run.py"))
    facts.append(("run it with", f"exeunt predict {folder} IMAGE..., or python {program} IMAGE..."))
    show_facts(facts)
