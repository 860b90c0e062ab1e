"""Networks as .tflite files, run by TFLite Micro's interpreter where that is installed."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exeunt.errors import ExeuntError
from exeunt.graph import build_graph
from exeunt.models import create_model
from exeunt.profile.planned import layerwise_memory
from exeunt.quantize import QuantizedGraph, observe_ranges, quantize

FOLDER = Path(__file__).parent.parent / "benchmarks"
PIXELS = 36  # then 18, 9, 5, 3, 2: filters of stride 2 on even maps and on odd ones


@pytest.fixture
def tflm(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("tflite_micro")
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("tflm")


def quantized_net(tflm: Any, exits: Any = "last") -> QuantizedGraph:
    torch.manual_seed(0)
    net = create_model("mobilenetv2_035", num_classes=5, exits=exits)
    tflm.set_batch_statistics(net, tflm.images(tflm.IMAGES, PIXELS))
    graph = build_graph(net, PIXELS)
    return quantize(graph, observe_ranges(graph, [tflm.images(4, PIXELS)], "minmax"))


def test_turned_by_180_degrees_it_is_the_same_net(tflm: Any) -> None:
    quantized = quantized_net(tflm)
    image = np.random.default_rng(0).integers(-128, 128, (1, PIXELS, PIXELS, 3), dtype=np.int8)
    scores = []
    for mirrored in (False, True):
        file = tflm.write_tflite(quantized, mirrored=mirrored)
        interpreter = tflm.runtime.Interpreter.from_bytes(file, arena_size=tflm.ROOM_BYTES)
        turned = np.ascontiguousarray(image[:, ::-1, ::-1]) if mirrored else image
        interpreter.set_input(turned, 0)
        interpreter.invoke()
        scores.append(interpreter.get_output(0).tolist())
    assert scores[0] == scores[1]


def test_every_operator_gives_our_integers(tflm: Any, capsys: pytest.CaptureFixture[str]) -> None:
    quantized = quantized_net(tflm)
    file, x = tflm.write_tflite(quantized, mirrored=True), tflm.images(2, PIXELS)
    tflm.tell_agreement(quantized, file, x)
    assert "integers 99." in capsys.readouterr().out
    name = next(iter(quantized.operators))
    wrong = replace(quantized.operators[name], high=0)
    other = replace(quantized, operators={**quantized.operators, name: wrong})
    with pytest.raises(AssertionError, match=r"stem.* steps apart"):
        tflm.tell_agreement(other, file, x)


def test_the_arena_holds_what_is_alive(tflm: Any) -> None:
    quantized = quantized_net(tflm)
    turned, padded = (
        tflm.recorded(tflm.write_tflite(quantized, mirrored=mirrored)) for mirrored in (True, False)
    )
    bound_bytes = layerwise_memory(quantized.graph, "int8").bound_bytes
    assert bound_bytes is not None
    assert bound_bytes <= turned["head"] < padded["head"]
    assert turned["head"] + turned["tail"] == turned["total"]


def test_several_exits_are_refused(tflm: Any) -> None:
    with pytest.raises(ExeuntError, match="6 exits"):
        tflm.write_tflite(quantized_net(tflm, "paper"), mirrored=True)
