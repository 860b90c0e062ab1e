from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.ops.dense import DenseLayer, Transition
from exeunt.ops.residual import BasicBlock, PadShortcut, PreactBlock


def settled(module: nn.Module) -> nn.Module:
    """In evaluation mode and double precision, with statistics that matter."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
    return module.double().eval()


def norm(x: Tensor, n: nn.BatchNorm2d) -> Tensor:
    scale = n.weight / (n.running_var + n.eps).sqrt()
    return x * scale[:, None, None] + (n.bias - n.running_mean * scale)[:, None, None]


@pytest.mark.parametrize("projection", [True, False])
@pytest.mark.parametrize(("stride", "out"), [(1, 6), (2, 6), (1, 10), (2, 10)])
def test_basic_block_against_functional(stride: int, out: int, projection: bool) -> None:
    block = settled(BasicBlock(6, out, stride, projection))
    x = torch.randn(2, 6, 9, 7, dtype=torch.double)
    y = F.conv2d(x, block.conv1.conv.weight, stride=stride, padding=1)
    y = norm(y, block.conv1.norm).relu()
    y = norm(F.conv2d(y, block.conv2.conv.weight, padding=1), block.conv2.norm)
    if (stride, out) == (1, 6):
        short = x
    elif projection:
        short = F.conv2d(x, block.shortcut.conv.weight, stride=stride)
        short = norm(short, block.shortcut.norm)
    else:
        short = torch.zeros_like(y)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                short[:, :6, i, j] = x[:, :, stride * i, stride * j]
    torch.testing.assert_close(block(x), (y + short).relu())


def test_pad_shortcut_has_no_parameters() -> None:
    assert not list(PadShortcut(4, 8, 2).parameters())


@pytest.mark.parametrize(("stride", "out"), [(1, 6), (2, 6), (1, 10), (2, 10)])
def test_preact_block_against_functional(stride: int, out: int) -> None:
    block = settled(PreactBlock(6, out, stride))
    x = torch.randn(2, 6, 9, 7, dtype=torch.double)
    ready = norm(x, block.pre.norm).relu()
    y = F.conv2d(ready, block.conv1.weight, stride=stride, padding=1)
    y = F.conv2d(norm(y, block.conv2.norm).relu(), block.conv2.conv.weight, padding=1)
    same = (stride, out) == (1, 6)
    short = x if same else F.conv2d(ready, block.shortcut.weight, stride=stride)
    torch.testing.assert_close(block(x), y + short)


def test_dense_layer_against_functional() -> None:
    layer = settled(DenseLayer(6, 3))
    x = torch.randn(2, 6, 5, 7, dtype=torch.double)
    y = F.conv2d(norm(x, layer.reduce.norm).relu(), layer.reduce.conv.weight)
    assert y.shape[1] == 12
    y = F.conv2d(norm(y, layer.grow.norm).relu(), layer.grow.conv.weight, padding=1)
    out = layer(x)
    assert torch.equal(out[:, :6], x), "what was there stays as it is"
    torch.testing.assert_close(out[:, 6:], y)


def test_transition_against_functional() -> None:
    transition = settled(Transition(6, 4))
    x = torch.randn(2, 6, 5, 8, dtype=torch.double)
    y = F.conv2d(norm(x, transition.reduce.norm).relu(), transition.reduce.conv.weight)
    pooled = torch.stack([y[:, :, i : i + 4 : 2, j::2] for i in (0, 1) for j in (0, 1)]).mean(0)
    torch.testing.assert_close(transition(x), pooled)


@pytest.mark.parametrize("module", [BasicBlock(4, 4), PreactBlock(4, 4), DenseLayer(4, 2)])
def test_the_input_is_left_as_it_was(module: nn.Module) -> None:
    """An exit may still read it: in-place activations must not reach it."""
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    with torch.no_grad():
        module(x)
    assert torch.equal(x, before)
