"""What a network's beginning takes by exeunt's kernels and in onnxruntime's standard operators.

    python benchmarks/stem.py [--model rex_mobilenetv2] [--set rex_form=paper] [--repeats 100]
    python benchmarks/stem.py --folder DIR --images FOLDER

First the time: the network has random weights, all its exits, and one thread; every image goes to
the last exit. Both ways of the exported folder take turns, so that a busy machine slows both; the
minimum counts. Or else the answers, of an exported folder on all images in another.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exeunt.data import Transform
from exeunt.documents import parse_pairs
from exeunt.export.onnx import OnnxModel, write_onnx
from exeunt.graph import build_graph
from exeunt.models import create_model
from exeunt.native import in_use, using
from exeunt.policies import Full
from exeunt.runner import StagedModel


def compare(name: str, arguments: dict[str, Any], size: int, repeats: int) -> None:
    torch.manual_seed(0)
    net = create_model(name, **arguments).eval()
    graph, names = build_graph(net, (size, size)), [str(k) for k in range(net.num_classes)]
    made = OnnxModel(name, graph, Transform((size, size)), names, Full(), "random")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "net")
        write_onnx(made, folder)
        ways = {f"kernels, {in_use()}": StagedModel(folder, threads=1)}
        with using("0"):
            ways["onnxruntime"] = StagedModel(folder, threads=1)
    batch = np.random.default_rng(0).normal(0, 1, (1, *ways["onnxruntime"].image_shape))
    images = batch.astype(np.float32)
    first, second = (model.forward(images) for model in ways.values())
    print(f"{name}, {arguments}, {size}x{size}, batch 1, one thread, {repeats} times")
    print(f"largest difference of a score: {abs(first - second).max():.1e}")
    print(f"{'':24}{'first stage':>22}{'all stages':>22}")
    print(f"{'':24}" + 2 * f"{'min / median ms':>22}")
    calls: dict[str, list[Callable[[], Any]]] = {
        way: [
            lambda model=model: model.chain.step(0, model.chain.begin(images)),  # type: ignore[misc]
            lambda model=model: model.forward(images),  # type: ignore[misc]
        ]
        for way, model in ways.items()
    }
    times_ms: dict[str, list[list[float]]] = {way: [[], []] for way in calls}
    for turn in range(repeats + 1):
        for way, pair in calls.items():
            for call, found in zip(pair, times_ms[way], strict=True):
                start = time.perf_counter()
                call()
                if turn:
                    found.append(1e3 * (time.perf_counter() - start))
    for way, both in times_ms.items():
        columns = (f"{min(found):12.2f} /{statistics.median(found):8.2f}" for found in both)
        print(f"{way:24}" + "".join(columns))


def agree(folder: str, images: str) -> None:
    ours = StagedModel(folder, threads=1)
    with using("0"):
        plain = StagedModel(folder, threads=1)
    files = sorted(file for file in Path(images).rglob("*") if file.is_file())
    differ, apart = 0, 0.0
    for at in range(0, len(files), 32):
        batch = [ours.load(file) for file in files[at : at + 32]]
        taken, expected = ours.predict(batch), plain.predict(batch)
        same = taken.exit_index == expected.exit_index
        differ += int((~same | (taken.class_index != expected.class_index)).sum())
        apart = max(apart, abs(taken.logits - expected.logits)[same].max(initial=0))
    print(f"{len(files)} images: {differ} with another exit or class, scores {apart:.1e} apart")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", default="rex_mobilenetv2")
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help="of the network")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--folder", help="what `exeunt export --target onnx` wrote")
    parser.add_argument("--images", help="a folder of images, at any depth")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.folder:
        agree(options.folder, options.images)
        return
    arguments = parse_pairs(options.set, "--set")
    compare(options.model, arguments, options.image_size, options.repeats)


if __name__ == "__main__":
    main()
