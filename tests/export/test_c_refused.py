"""What is no float32 network in C is refused, with the module and what would do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.c import build_host, device
from exeunt.export.c.boards import can_emulate, find_board
from exeunt.export.c.float32 import Float32
from exeunt.export.c.folder import CModel, write_c
from exeunt.export.c.report import FILE
from exeunt.graph import build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.pooling import GFGP2d
from exeunt.ops.renet import ReNet2d
from exeunt.ops.rex import ReX2d
from exeunt.policies import parse_policy

SIZE = (12, 14)


class Repeated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(1, torch.tensor([0, 2, 2, 1]))


def write(net: MultiExitNet, folder: Path, policy: str = "full", **changed: Any) -> None:
    transform = Transform(SIZE)
    plan = plan_stream(build_graph(net, SIZE), changed.pop("element_bytes", 4))
    names = ["a"] * net.num_classes
    numbers = Float32(parse_policy(policy))
    fields = {"name": "net", "title": "", "transform": transform, "class_names": names} | changed
    write_c(CModel(numbers=numbers, plan=plan, facts={}, **fields), folder)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (nn.Conv2d(3, 4, (1, 2), dilation=256, padding=256), r"dilation \(256, 256\); up to 255"),
        (nn.Conv2d(3, 3, 1, dilation=256, groups=3), r"dilation \(256, 256\); up to 255"),
        (nn.Conv2d(3, 4, 17, dilation=2, padding=16), r"17x17 convolution; up to 15x15"),
        (nn.Conv2d(3, 3, 17, padding=8, groups=3), r"17x17 convolution; up to 15x15"),
        (Repeated(), r"no kernel that takes a channel more than once"),
        (GFGP2d(3, 2, bound="softplus"), r"no kernel for GFGP2d in float32"),
        (GFGP2d(3, 16), r"no kernel for SharpPool with windows of 16; up to 15"),
        (ReNet2d(3, 2, cell="lstm"), r"no kernel for ReNet with lstm; gru has one"),
        (ReNet2d(3, 33), r"ReNet with states of 33; up to 16, or multiples of 4 up to 32"),
        (nn.AvgPool2d(2, 256), r"pooling \(2, 2\) with stride \(256, 256\); up to 255"),
        (
            ReX2d(3, 33, 1, 4, 2),
            r"gru states of \(33, 1\) and patches of \(4, 4\); up to \(32, 32\) and 32",
        ),
        (
            ReX2d(3, 4, 17, 4, 2, cell="lstm"),
            r"lstm states of \(4, 17\) and patches of \(4, 4\); up to \(24, 16\) and 32",
        ),
        (ReX2d(3, 2, 1, 2, 2, padding=2), r"padding \(2, 2\) beside patches of \(2, 2\); less"),
    ],
    ids=str,
)
def test_what_no_kernel_does(
    block: nn.Module, said: str, chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    channels = block.eval()(torch.zeros(1, 3, *SIZE)).shape[1]
    net = chained(3, [(block, channels)], [])
    with pytest.raises(ExeuntError, match=rf"stages\.0\.trunk\.block0.*: .*{said}"):
        write(net, tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "7up"}, "'7up' is no prefix"),
        ({"element_bytes": 1}, "the plan is for numbers of 1 bytes; float32 has 4"),
        ({"policy": "consistency:1,eta=1.0+consistency:1,eta=2.0"}, "within one eta, not 1 and 2"),
    ],
)
def test_what_cannot_be_written(
    changed: dict[str, Any], said: str, chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    net = chained(3, [(nn.Conv2d(3, 4, 1), 4), (nn.Conv2d(4, 4, 1), 4)], [0])
    with pytest.raises(ExeuntError, match=said):
        write(net, tmp_path / "c", **changed)


def test_weights_that_are_no_numbers(chained: Callable[..., MultiExitNet], tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 4, 1)
    net = chained(3, [(conv, 4)], [])
    conv.weight.data[0] = float("nan")
    with pytest.raises(ExeuntError, match=r"block0.*: its weights are not finite"):
        write(net, tmp_path / "c")


def test_another_folder_is_left_alone(chained: Callable[..., MultiExitNet], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExeuntError, match="is there and holds no export"):
        write(chained(3, [(nn.Conv2d(3, 4, 1), 4)], []), tmp_path)


def test_an_export_of_the_shape_before_is_replaced(
    chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    """Its files lay flat beside each other; a file of yours stays."""
    old = {
        **{"format": 3, "name": "net", "dtype": "int8", "image_shape": [3, 4, 4], "kernels": []},
        **{"memory": {}, "version": "0", "files": ["exn.h", "net.c", "report.json"]},
    }
    for name, text in (("exn.h", ""), ("net.c", ""), ("app.c", "mine"), (FILE, json.dumps(old))):
        (tmp_path / name).write_text(text)
    with pytest.raises(ExeuntError, match="format 3; this exeunt reads 6, so export"):
        build_host(tmp_path, tmp_path / "program")
    write(chained(3, [(nn.Conv2d(3, 4, 1), 4)], []), tmp_path)
    assert not (tmp_path / "exn.h").exists()
    assert not (tmp_path / "net.c").exists()
    assert (tmp_path / "app.c").read_text() == "mine"
    assert (tmp_path / "net" / "src" / "net.c").exists()


def test_a_report_names_no_sources_from_elsewhere(
    chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    write(chained(3, [(nn.Conv2d(3, 4, 1), 4)], []), tmp_path / "net")
    path = tmp_path / "net" / FILE
    report = json.loads(path.read_text())
    for changed, said in (
        ({"runtime": ["../../../app.c"]}, "'../../../app.c' is no name of what is exported"),
        ({"name": "../app"}, "'../app' is no name"),
        ({"runtime": [3]}, "not the report of an exported folder"),
    ):
        path.write_text(json.dumps(report | changed))
        with pytest.raises(ExeuntError, match=re.escape(said)):
            build_host(tmp_path / "net", tmp_path / "program")


@pytest.mark.skipif(
    not can_emulate("cortex-m4"), reason="needs qemu-system-arm and arm-none-eabi-gcc"
)
def test_what_lies_beside_an_export_is_no_part_of_it(
    chained: Callable[..., MultiExitNet], tmp_path: Path
) -> None:
    write(chained(3, [(nn.Conv2d(3, 4, 1), 4)], []), tmp_path / "net")
    for place in ("app.c", "net/src/app.c", "exeunt_runtime/src/app.c"):
        (tmp_path / "net" / place).write_text("this is mine, and no C")
    build_host(tmp_path / "net", tmp_path / "program", ("-O0",))
    (tmp_path / "place").mkdir()
    sources = device.gather(
        find_board("cortex-m4"), tmp_path / "net", "net", tmp_path / "place", "main.c"
    )
    assert not any(path.endswith("app.c") for path in sources)
    assert any(path.endswith("exn_engine.c") for path in sources)
