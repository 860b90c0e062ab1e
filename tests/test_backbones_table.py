"""`benchmarks/backbones.py` sees what networks do; its table has all of them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.graph import build_graph

FILE = Path(__file__).parent.parent / "benchmarks" / "backbones.py"


@pytest.fixture(scope="module")
def bench(script: Callable[[Path], ModuleType]) -> ModuleType:
    return script(FILE)


def test_the_table_is_whole(bench: ModuleType) -> None:
    with bench.TABLE.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [row["network"] for row in rows] == [
        f"{library}/{name}" for name, (library, _) in bench.SIZES.items()
    ]
    assert all(float(row["difference"]) == 0 for row in rows)
    through = [row for row in rows if row["c"] != "no"]
    assert {row["graph"] for row in through} == {row["onnx"] for row in through} == {"yes"}
    assert all(row["refused"] for row in rows if row["c"] == "no")


@torch.no_grad()
@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_what_is_seen(bench: ModuleType) -> None:
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 6, 3, 2, 1)]
    net = attach_exits(nn.Sequential(*layers), [1], 3, image_shape=(3, 16, 16)).eval()
    graph, x = build_graph(net, 16), torch.randn(2, 3, 16, 16)
    assert bench.in_onnx(graph, net, x) == "yes"
    assert bench.in_c(graph, net, 16) == "same bits"
    other = attach_exits(nn.Sequential(*layers), [1], 3, image_shape=(3, 16, 16)).eval()
    assert bench.in_onnx(graph, other, x).startswith("off by")
    assert bench.difference(net, lambda x: net(x)[-1] + 1, x) == pytest.approx(1)
