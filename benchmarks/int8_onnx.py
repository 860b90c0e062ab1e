"""What onnxruntime's static quantisation costs in its settings: accuracy, agreement, milliseconds.

    python benchmarks/int8_onnx.py MODEL DATA

Every setting is quantised on the same 256 images of the calibration split and asked about all of
it. Agreement is with float32, at each exit; the time is that of all exits for one image on one
thread, the minimum of 60 runs.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantType,
    quantize_static,
)

from exeunt.data import eval_loader
from exeunt.export.calibration import CalibrationImages
from exeunt.export.onnx import int8, open_stages, write_stages
from exeunt.graph import build_graph
from exeunt.trained import TrainedModel

SIGNED = {"activation_type": QuantType.QInt8}
SETTINGS: dict[str, dict[str, Any]] = {
    "as exported": {},
    "one scale for each weight tensor": {"per_channel": False},
    "weights of 7 bits": {"reduce_range": True},
    "int8 activations": SIGNED,
    "int8 activations, zero is zero": {**SIGNED, "extra_options": {"ActivationSymmetric": True}},
    "uint8 weights": {"weight_type": QuantType.QUInt8},
    "ranges by entropy": {"calibrate_method": CalibrationMethod.Entropy},
    "ranges of 99.99 percent": {
        "calibrate_method": CalibrationMethod.Percentile,
        "extra_options": {"CalibPercentile": 99.99},
    },
    "ReX too": {"recurrent": True},
}


class InParts(CalibrationDataReader):
    """What a reader gives, so that histograms take in one batch at a time."""

    def __init__(self, reader: CalibrationDataReader) -> None:
        self.feeds = list(iter(reader.get_next, None))

    def __len__(self) -> int:
        return len(self.feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.left = iter(self.feeds[start_index:end_index])

    def get_next(self) -> Any:
        return next(self.left, None)


def quantiser(changed: dict[str, Any]) -> Any:
    """`quantize_static` with other settings."""

    def quantise(model: Any, file: Any, reader: CalibrationDataReader, **settings: Any) -> None:
        asked = settings | changed
        extra = asked.pop("extra_options", {}) | {"CalibStridedMinMax": 1}
        quantize_static(model, file, InParts(reader), **asked, extra_options=extra)

    return quantise


def milliseconds(chain: Any, image: np.ndarray) -> float:
    """Of all exits for one image."""
    times = []
    for _ in range(60):
        start = time.perf_counter()
        chain.forward(image)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main(model: str, data: Path) -> None:
    torch.set_num_threads(1)
    trained = TrainedModel.load(model)
    images = CalibrationImages(trained, data, None, 16, 0)
    graph = build_graph(trained.net, trained.transform.image_size)
    stages = write_stages(graph, {})
    some = [batch.numpy() for batch in images.some()]
    loader: Any = eval_loader(images.samples, trained.transform, batch_size=16)
    batches = [(batch.images.numpy(), batch.targets.numpy()) for batch in loader]
    targets = np.concatenate([target for _, target in batches])

    def classes(chain: Any) -> np.ndarray:
        return np.concatenate([chain.forward(x).argmax(2) for x, _ in batches], 1)

    def show(name: str, chain: Any, expected: np.ndarray) -> None:
        found = classes(chain)
        right, same = ((100 * (found == one).mean(1)).round(1) for one in (targets, expected))
        ms = milliseconds(chain, some[0][:1])
        print(f"{name:34} right {right}, as float32 {same}, {ms:.2f} ms", flush=True)

    floats = open_stages(graph.image, stages, threads=1)
    expected = classes(floats)
    show("float32", floats, expected)
    for name, setting in SETTINGS.items():
        changed = {key: value for key, value in setting.items() if key != "recurrent"}
        int8.quantize_static = quantiser(changed)
        recurrent = setting.get("recurrent", False)
        with contextlib.redirect_stdout(io.StringIO()):
            made = int8.quantize_stages(graph, stages, some, recurrent=recurrent)
        show(name, open_stages(graph.image, made, threads=1), expected)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
