"""`exeunt export --target onnx`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exeunt.cli.exporting import Images, Wanted, calibration_facts, choose_policy
from exeunt.cli.render import short_spec, show_facts
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from exeunt.cli.trained import TrainedModel


def export_onnx(
    model: str, trained: TrainedModel, images: Images | None, wanted: Wanted, out: Path
) -> dict[str, Any]:
    """Writes the folder and returns its manifest."""
    if find_spec("onnx") is None:
        raise ExeuntError('ONNX files are written with onnx: pip install "exeunt[onnx]"')
    from exeunt.evaluate import weights_fingerprint
    from exeunt.export.onnx import OnnxModel, write_onnx
    from exeunt.graph import build_graph

    graph = build_graph(trained.net, trained.transform.image_size)
    policy, calibration = choose_policy(trained, images, wanted)
    made = OnnxModel(
        model,
        graph,
        trained.transform,
        trained.info.class_names,
        policy,
        weights_fingerprint(trained.net),
        trained.info.metrics,
        calibration,
    )
    return write_onnx(made, out)


def show_onnx(out: Path, manifest: dict[str, Any]) -> None:
    """Says what was written, for people."""
    stages = manifest["stages"]
    size = sum(stage["size_bytes"] for stage in stages)
    facts = [
        ("written", f"{out} ({manifest['dtype']}, opset {manifest['opset']})"),
        ("stages", f"{len(stages)} files, {size} bytes"),
        ("policy", short_spec(manifest["policy"])),
    ]
    found = manifest["calibration"]
    if found:
        facts += calibration_facts(found)
    facts.append(("run it with", f"exeunt predict {out} IMAGE..., or python {out}/run.py IMAGE..."))
    show_facts(facts)
