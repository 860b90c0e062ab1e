"""`exeunt verify`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exeunt.cli.options import AnEngine, Engine, Json, Split
from exeunt.cli.render import millions, percent, show_facts, show_json, show_table, warn
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    import torch

    from exeunt.data import Sample
    from exeunt.export.c import Bundle, Comparison, DeviceRun

_BATCH = 8


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `exeunt export`.")],
    images: Annotated[Path, typer.Option(metavar="DATA", help="Labelled images to run on.")],
    device: Annotated[
        str | None,
        typer.Option(
            show_default=False,
            help="Run on an emulated device: cortex-m4, cortex-m7 or cortex-m3. Otherwise here.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=False,
            help="So many images [64; on a device 4; all for ONNX].",
        ),
    ] = None,
    split: Annotated[Split, typer.Option(help="Of DATA.")] = Split.TEST,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default=False,
            help="What an ONNX folder was made of; by default what it says itself.",
        ),
    ] = None,
    engine: AnEngine = None,
    json: Json = False,
) -> None:
    """Run an exported network on images, and compare every exit with Python.

    C is built for this machine, with sanitizers. On a device its RAM is fenced at what it claims:
    arena, state and the stack that it was seen to use; what it reaches beyond ends it.

    ONNX files run with their policy beside PyTorch. In float32 scores must be the same within
    1e-4, and images on the edge of a decision are named; in int8 it is said how often they agree.
    """
    from exeunt.cli.exported import is_exported

    if is_exported(folder):
        from exeunt.cli.verify_onnx import show_verified, verify_onnx

        if device is not None:
            raise ExeuntError(f"--device {device}: {folder} holds ONNX files, which run here")
        chosen = (engine or Engine.ONNXRUNTIME).value
        facts = verify_onnx(folder, weights, images, limit, split, chosen)
        if json:
            show_json({"kind": "verified", "folder": str(folder), **facts})
        else:
            show_verified(folder, facts)
        return
    if weights is not None or engine is not None:
        raise ExeuntError(f"--weights and --engine are for ONNX folders; {folder} is none")
    _verify_c(folder, images, device, limit, split, json)


def _verify_c(
    folder: Path, images: Path, device: str | None, limit: int | None, split: Split, json: bool
) -> None:
    from exeunt.export.c import Bundle, build_host, compare, run_device, run_host

    bundle = Bundle.load(folder)
    samples = _pick(bundle, images, split, limit or (4 if device else 64))
    with tempfile.TemporaryDirectory(prefix="exeunt-") as temporary:
        raw, tensors, kept = _prepare(bundle, samples, Path(temporary))
        run = None
        if device is None:
            program = Path(temporary) / bundle.report.name
            build_host(folder, program)
            answers: Any = run_host(program, raw)
        else:
            run = run_device(folder, bundle.report.name, raw, len(kept), device)
            answers = run.answers
        names = [sample.name for sample in kept]
        found = compare(
            answers, _scores(bundle, tensors), names, integers=bundle.report.dtype == "int8"
        )
    facts = _facts(bundle, found, kept)
    if run is not None:
        facts |= _device_facts(bundle, run, found)
    if json:
        show_json({"kind": "verified", "folder": str(folder), **facts})
        return
    where = f"{device} (emulated)" if device else "this machine, with sanitizers"
    show_facts([("verified", f"{folder} on {where}"), *_lines(bundle, facts)])
    if run is not None:
        typer.echo("")
        _show_instructions(bundle, facts)


def _pick(bundle: Bundle, images: Path, split: Split, limit: int) -> tuple[Sample, ...]:
    from exeunt.data import SplitSpec, make_splits, open_source, take

    source = open_source(images)
    if tuple(bundle.info.class_names) != source.class_names:
        raise ExeuntError(f"{images}: the classes are not those of {bundle.folder}")
    spec = SplitSpec(**bundle.info.split)
    samples = source.samples
    if split is not Split.ALL:
        samples = make_splits(source, spec)[split.value]
    return take(samples, limit, spec.seed)


def _prepare(
    bundle: Bundle, samples: tuple[Sample, ...], place: Path
) -> tuple[Path, torch.Tensor, list[Sample]]:
    """The images as the device gets them, one file of bytes, and as Python takes them."""
    import numpy as np
    import torch

    from exeunt.data.decode import UnreadableImage

    transform = bundle.transform
    raw, tensors, kept = place / "images.bin", [], []
    height, width = transform.image_size
    with raw.open("wb") as file:
        for sample in samples:
            try:
                image = transform.pixels(sample.place.load())
            except UnreadableImage as error:
                warn(f"{error}, left out")
                continue
            pixels = np.asarray(image).reshape(height, width, -1)
            file.write(pixels.tobytes())
            tensors.append(transform.normalise_pixels(pixels))
            kept.append(sample)
    if not kept:
        raise ExeuntError("none of the images can be read")
    return raw, torch.stack(tensors), kept


def _scores(bundle: Bundle, tensors: torch.Tensor) -> list[torch.Tensor]:
    import torch

    with torch.inference_mode():
        parts = [bundle.scores(batch) for batch in torch.split(tensors, _BATCH)]
    return [torch.cat(exits) for exits in zip(*parts, strict=True)]


def _facts(bundle: Bundle, found: Comparison, kept: list[Sample]) -> dict[str, Any]:
    import torch

    targets = torch.tensor([sample.target for sample in kept])
    exit_macs = torch.tensor(bundle.report.exit_macs, dtype=torch.float64)
    macs = float(exit_macs[found.exit_index].mean())
    return {
        "images": found.images,
        "exits": found.exits,
        "same_bits": found.same_bits,
        "exit_accuracy": (found.classes == targets).double().mean(1).tolist(),
        "accuracy": float((found.class_index == targets).double().mean()),
        "exit_shares": [float((found.exit_index == k).double().mean()) for k in range(found.exits)],
        "mean_macs": macs,
        "saving": 1 - macs / float(exit_macs[-1]),
    }


def _device_facts(bundle: Bundle, run: DeviceRun, found: Comparison) -> dict[str, Any]:
    """RAM, flash and instructions."""
    per_exit = [run.instructions[k :: found.exits] for k in range(found.exits)]
    means = [sum(counts) / len(counts) for counts in per_exit]
    taken = [run.instructions[n * found.exits + int(k)] for n, k in enumerate(found.exit_index)]
    memory = bundle.report.memory
    return {
        "memory": {
            "arena_bytes": memory["arena_bytes"] - memory["row_window_bytes"],
            "row_window_bytes": memory["row_window_bytes"],
            "state_bytes": run.data_bytes - memory["arena_bytes"],
            "stack_bytes": run.stack_bytes,
            "total_bytes": run.total_bytes,
        },
        "flash": {"code_bytes": run.code_bytes, "weights_bytes": run.weights_bytes},
        "exit_instructions": means,
        "mean_instructions": sum(taken) / len(taken),
        "instructions_per_mac": means[-1] / bundle.report.exit_macs[-1],
    }


def _lines(bundle: Bundle, facts: dict[str, Any]) -> list[tuple[str, str]]:
    same = "all the same, to the bit" if facts["same_bits"] else "within 1e-4 of the largest"
    lines = [
        ("images", f"{facts['images']}, at {facts['exits']} exits each"),
        ("scores", f"{same} as Python's ({bundle.report.dtype})"),
        ("accuracy by exit", ", ".join(map(percent, facts["exit_accuracy"]))),
        ("with the policy", f"{percent(facts['accuracy'])}, saving {percent(facts['saving'])}"),
    ]
    if "memory" in facts:
        parts = {name.removesuffix("_bytes"): size for name, size in facts["memory"].items()}
        total = parts.pop("total")
        said = " + ".join(f"{name.replace('_', ' ')} {size}" for name, size in parts.items())
        lines.append(("RAM", f"{total} bytes ({total / 1024:.1f} KiB), fenced: {said}"))
        flash = facts["flash"]
        lines.append(
            ("flash", f"code {flash['code_bytes']} bytes, constants {flash['weights_bytes']}")
        )
    return lines


def _show_instructions(bundle: Bundle, facts: dict[str, Any]) -> None:
    rows = []
    for k, count in enumerate(facts["exit_instructions"]):
        macs = bundle.report.exit_macs[k]
        rows.append((str(k + 1), millions(macs), millions(count), f"{count / macs:.2f}"))
    show_table(("exit", "MACs", "instructions", "per MAC"), rows, "rrrr")
    mean = facts["mean_instructions"]
    typer.echo(f"with the policy {millions(mean)} instructions an image; no cycles are known")
