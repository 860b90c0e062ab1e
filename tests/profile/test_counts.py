"""Multiply-adds against torch's own counter, and what has no formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from exeunt.backbone import attach_exits
from exeunt.errors import ExeuntError
from exeunt.graph import Graph, Opaque, build_graph, interpret
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.lift import LiftDownPool2d
from exeunt.ops.rex import ReX2d
from exeunt.profile.counts import Counts


def counted_by_torch(net: MultiExitNet, size: int) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        net.eval()(torch.randn(1, 3, size, size))
    return flops.get_total_flops() // 2


def test_by_hand(two_stages_graph: Graph) -> None:
    counts = Counts.of(two_stages_graph)
    conv1, conv2 = 64 * 4 * 27, 16 * 6 * 16
    assert counts.by_operator == {"Conv": conv1 + conv2, "Linear": 5 * 4 + 5 * 6}
    assert counts.by_stage == (conv1 + 20, conv2 + 30)
    assert counts.exits == counts.per_patch_exits == (conv1 + 20, conv1 + conv2 + 50)
    assert counts.by_module == {
        "stages.0.trunk.0": conv1,
        "stages.1.trunk.1": conv2,
        "stages.1.exit.classifier": 30,
        "stages.0.exit.classifier": 20,
    }
    assert [operator.macs for operator in counts.largest] == [conv1, conv2, 30, 20]
    assert counts.largest[0].shape == (4, 8, 8)
    assert counts.uncounted == ()


def test_as_torch_counts(two_stages: MultiExitNet, two_stages_graph: Graph) -> None:
    assert Counts.of(two_stages_graph).total == counted_by_torch(two_stages, 8)


@pytest.mark.parametrize(("form", "gates"), [("paper", 3), ("mingru", 2)])
def test_padding_of_rex_is_all_that_torch_counts_besides(form: str, gates: int) -> None:
    """Zeros around the map go through the input projection too: they are not real pixels."""
    rex_net = create_model("rex_mobilenetv2_035", 4, exits=[2], rex_form=form)
    (rex,) = (module for module in rex_net.modules() if isinstance(module, ReX2d))
    rows, columns = rex.windows(32, 32)
    padding = rows.lines * columns.lines - 32 * 32
    counts = Counts.of(build_graph(rex_net, 64))
    theirs = counted_by_torch(rex_net, 64)
    assert theirs - counts.total == padding * gates * rex.in_channels * rex.hidden1
    macs = rex.macs(32, 32)
    assert counts.per_patch_exits[-1] - counts.total == macs.per_patch - macs.shared
    assert counts.by_operator["ReX2d"] == macs.shared


class Gram(nn.Module):
    """Rows of every channel by rows: H x W x H multiply-adds each."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(x @ x.mT)


class Far(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, x)


def test_what_has_no_plain_form_is_counted_and_its_memory_planned() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), Gram(), nn.Conv2d(4, 4, 1))
    net = attach_exits(backbone, [-1], 2, image_shape=(3, 8, 8))
    with pytest.raises(ExeuntError, match=r"no plain operator for aten.matmul"):
        build_graph(net, 8)
    graph = build_graph(net, 8, opaque=True)
    counts = Counts.of(graph)
    assert counts.uncounted == ()
    assert counts.total == 64 * (12 + 16) + 8 + 4 * 8 * 8 * 8
    assert counts.by_operator["aten.matmul.default"] == 4 * 8 * 8 * 8
    assert counts.exits == tuple(info.macs for info in net.exit_info(8))
    opaque = [node for node in graph.nodes if isinstance(node.operator, Opaque)]
    assert [graph.shapes[node.output] for node in opaque] == [(4, 8, 8)] * 3
    with pytest.raises(ExeuntError, match=r"aten.[a-zA-Z]+.default has no plain operator"):
        interpret(graph, torch.zeros(1, 3, 8, 8))


def test_what_has_no_formula_is_named() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), Far())
    net = attach_exits(backbone, [-1], 2, image_shape=(3, 8, 8))
    counts = Counts.of(build_graph(net, 8, opaque=True))
    assert counts.uncounted == ("stages.0.trunk.1 (aten.cdist.default)",)
    assert counts.total == 64 * 12 + 8


class Sum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.sum()


def test_what_is_no_tensor_of_an_image_is_refused_all_the_same() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), Sum())
    net = attach_exits(backbone, [-1], 2, image_shape=(3, 8, 8))
    with pytest.raises(ExeuntError, match=r"no plain operator for aten.sum"):
        build_graph(net, 8, opaque=True)


def test_a_part_of_a_whole_operator_without_formula() -> None:
    class Mine(LiftDownPool2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.cdist(x, x).mean()

    backbone = nn.Sequential(nn.Conv2d(3, 4, 1), Mine(4))
    net = attach_exits(backbone, [-1], 2, image_shape=(3, 16, 16))
    counts = Counts.of(build_graph(net, 16))
    assert counts.uncounted == ("stages.0.trunk.1 (aten._cdist_forward.default)",)
