"""The same trained network in exeunt and in the early-exit library earlyon, on the same images.

    pip install --no-deps earlyon==0.3.0 && pip install fvcore
    python benchmarks/earlyon_library.py MODEL DATA [--drop 0.005] [--images 200] [--repeats 5]

earlyon gets the trunks of MODEL as its backbone and the exits as its heads, with their weights, and
chooses a threshold for each exit on the calibration split by its own `calibrate_thresholds`; ours
are chosen there by `choose_policy`, one for each exit and one for all. All may lose as much of the
last exit's accuracy. Accuracy and multiply-adds are those of the test split, by exeunt's count.
Milliseconds are means over test images, one at a time on one thread: of each image, in each form,
the least of all turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exeunt.calibrate import choose_policy
from exeunt.compiled import use_channels_last
from exeunt.data import eval_loader
from exeunt.evaluate import Outcome, replay
from exeunt.evaluate.splits import open_labelled, record_split, select_samples
from exeunt.export.calibration import CalibrationImages
from exeunt.export.onnx import OnnxModel, write_onnx
from exeunt.graph import build_graph
from exeunt.inference import infer
from exeunt.native import in_use
from exeunt.policies import Confidence, Full
from exeunt.runner import StagedModel
from exeunt.trained import TrainedModel


def wrapped(trained: TrainedModel) -> Any:
    """The network as earlyon has one."""
    from earlyon import EarlyExitConfig, EarlyExitWrapper, ExitPoint

    stages: list[Any] = list(trained.net.stages)
    parts = OrderedDict((f"stage_{k}", stage.trunk) for k, stage in enumerate(stages[:-1], 1))
    parts["rest"] = nn.Sequential(stages[-1].trunk, stages[-1].exit)
    infos = trained.net.exit_info(trained.transform.image_size)[:-1]
    points = [ExitPoint(f"e{i.index}", f"stage_{i.index + 1}", i.channels) for i in infos]
    heads = {point.name: stage.exit for point, stage in zip(points, stages[:-1], strict=True)}
    config = EarlyExitConfig("exeunt", trained.net.num_classes, points)
    shape = (1, trained.net.in_chans, *trained.transform.image_size)
    return EarlyExitWrapper(
        nn.Sequential(parts), heads, nn.Identity(), config, input_shape=shape
    ).eval()


def loader(trained: TrainedModel, samples: Any) -> list[tuple[Tensor, Tensor]]:
    """Batches of images and labels, which is all that earlyon asks of a loader."""
    batches: Any = eval_loader(samples, trained.transform, batch_size=32)
    return [(batch.images, batch.targets) for batch in batches if len(batch)]


def levels_of(config: Any) -> tuple[float, ...]:
    """The thresholds that earlyon chose; nobody leaves at an exit that it switched off."""
    both = zip(config.confidence_thresholds, config.enabled_exits, strict=True)
    return tuple(level if enabled else math.inf for level, enabled in both)


def predict(model: StagedModel, image: Tensor) -> object:
    return model.predict(image.numpy())


def show(name: str, outcome: Outcome) -> None:
    shares = " ".join(f"{share:.2f}" for share in outcome.exit_shares)
    print(
        f"{name:18}{outcome.policy.spec}: accuracy {outcome.accuracy:.2%}, "
        f"{outcome.mean_macs / 1e6:.2f} M MACs, exits {shares}"
    )


def in_turn(ways: dict[str, Callable[[Tensor], object]], images: list[Tensor], turns: int) -> None:
    """Prints the mean over images of the least milliseconds of each."""
    least = {name: np.full(len(images), np.inf) for name in ways}
    for turn in range(turns + 1):
        for n, image in enumerate(images):
            for name, way in ways.items():
                way(image)  # the caches are as its neighbour left them
                start = time.perf_counter()
                way(image)
                if turn:
                    taken = 1e3 * (time.perf_counter() - start)
                    least[name][n] = min(least[name][n], taken)
    for name, times in least.items():
        print(f"{name:52}{times.mean():8.2f} ms")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--drop", type=float, default=0.005, help="share of images")
    parser.add_argument("--images", type=int, default=200, help="to time")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("earlyon") is None:
        sys.exit("earlyon is not installed: pip install --no-deps earlyon==0.3.0 fvcore")
    from earlyon.core.thresholds import calibrate_thresholds
    from earlyon.staged import staged_model

    torch.set_num_threads(1)
    trained = TrainedModel.load(options.model)
    use_channels_last(trained.net)
    held_out = CalibrationImages(trained, options.data, None, 32, 0)
    held_out_table = held_out.record(trained)
    ours = choose_policy(held_out_table, tolerance=options.drop).policy
    library = wrapped(trained)
    batches: Any = loader(trained, held_out.samples)
    calibrate_thresholds(library, batches, target_accuracy_drop=options.drop)
    theirs = Confidence(levels_of(library.config))
    one = choose_policy(held_out_table, tolerance=options.drop, per_exit=False).policy
    samples = select_samples(trained, open_labelled(trained, options.data), "test", None)
    table = record_split(trained, samples, "test", batch_size=32, workers=0)
    print(f"{options.model}, {len(table)} test images; {options.drop:.1%} may be lost")
    policies = {"last exit": Full(), "ours": ours, "earlyon's": theirs, "ours, one for all": one}
    for name, policy in policies.items():
        show(name, replay(table, policy))
    few = samples[:: max(1, len(samples) // options.images)]
    images = [image for batch, _ in loader(trained, few) for image in batch.split(1)]
    split = staged_model(library)
    for image in images:  # the same answers, or there is nothing to compare
        found, expected = split.infer(image), infer(trained.net, image, theirs)
        assert found.exit_taken % trained.net.num_exits == int(expected.exit_index)
        torch.testing.assert_close(found.prediction, expected.logits)
    ways: dict[str, Callable[[Any], object]] = {
        "earlyon, its thresholds, hooks": library,
        "earlyon, its thresholds, staged": split.infer,
        "exeunt, its thresholds, torch": lambda x: infer(trained.net, x, theirs),
        "exeunt, our policy, torch": lambda x: infer(trained.net, x, ours),
        "exeunt, ours for all exits, torch": lambda x: infer(trained.net, x, one),
        "exeunt, no exit taken, torch": lambda x: infer(trained.net, x, Full()),
    }
    with tempfile.TemporaryDirectory() as place:
        graph = build_graph(trained.net, trained.transform.image_size)
        names = trained.info.class_names
        write_onnx(OnnxModel("net", graph, trained.transform, names, ours, "measured"), place)
        more = {"its thresholds": theirs, "our policy": ours, "ours for all exits": one}
        for name, policy in more.items():
            staged = StagedModel(place, threads=1, policy=policy.spec)
            ways[f"exeunt, {name}, onnxruntime"] = partial(predict, staged)
    print(f"mean of {len(images)} images, ReX by kernels: {in_use()}")
    in_turn(ways, images, options.repeats)


if __name__ == "__main__":
    main()
