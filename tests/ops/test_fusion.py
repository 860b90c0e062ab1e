from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from exeunt.errors import ExeuntError
from exeunt.ops.fusion import DenseBlock, FusionBlock, FusionLayer, resize, share_of


def test_resize_aligns_corners() -> None:
    x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    wide = resize(x, torch.Size((2, 3)))
    torch.testing.assert_close(wide, torch.tensor([[[[0.0, 0.5, 1.0], [2.0, 2.5, 3.0]]]]))
    assert resize(x, torch.Size((2, 2))) is x
    assert resize(x, torch.Size((1, 1))).item() == 0  # the corner


def test_resizing_by_products_is_resizing() -> None:
    """There and back, and also after somebody looked with tensors that hold no numbers."""
    with FakeTensorMode():
        resize(torch.empty(2, 3, 7, 5), torch.Size((4, 9)))
    x = torch.randn(2, 3, 7, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    ours = resize(x, torch.Size((4, 9)))
    theirs = F.interpolate(x, size=(4, 9), mode="bilinear", align_corners=True)
    assert "Interpolate" not in type(ours.grad_fn).__name__
    assert ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours, theirs)
    asked = torch.randn_like(theirs)
    grads = [torch.autograd.grad(out, x, asked)[0] for out in (ours, theirs)]
    torch.testing.assert_close(*grads)


def test_share_of() -> None:
    assert [share_of(c, 0.25) for c in (4, 6, 7, 12, 185)] == [1, 1, 1, 3, 46]
    with pytest.raises(ExeuntError, match=r"a share of 0\.25 leaves none of 3 channels"):
        share_of(3, 0.25)


@torch.no_grad()
def test_a_dense_block_keeps_what_it_reads_in_front() -> None:
    block = DenseBlock(5, growth=3, depth=2, factor=2, reduction=0.5).eval()
    x = torch.randn(2, 5, 4, 6)
    grown, out = block(x)
    assert block.channels == [5, 8, 11]
    assert block.out_channels == 5
    assert grown.shape == (2, 11, 4, 6)
    assert torch.equal(grown[:, :5], x)
    torch.testing.assert_close(grown[:, 5:8], block.layers[0](x))
    torch.testing.assert_close(grown[:, 8:], block.layers[1](grown[:, :8]))
    torch.testing.assert_close(out, block.transition(grown))
    bare = DenseBlock(5, growth=3, depth=2)
    assert [part.shape[1] for part in bare(x)] == [11]
    assert bare.out_channels == 11


@pytest.mark.parametrize(("stride", "size"), [(1, (7, 5)), (2, (4, 3))])
@torch.no_grad()
def test_a_fusion_layer_puts_identity_low_own_in_this_order(
    stride: int, size: tuple[int, int]
) -> None:
    layer = FusionLayer(5, 9, growth=6, share=0.34, stride=stride, factor=2, low_factor=3).eval()
    x, low = torch.randn(2, 5, 7, 5), torch.randn(2, 9, 3, 3)
    out = layer(x, low)
    assert out.shape == (2, 11, *size)
    shape = torch.Size(size)
    torch.testing.assert_close(out[:, :5], resize(x, shape))
    torch.testing.assert_close(out[:, 5:7], resize(layer.low(low), shape))
    torch.testing.assert_close(out[:, 7:], layer.own(x))
    assert layer.low.reduce.conv.out_channels == 6  # 3 * 2
    assert layer.own.reduce.conv.out_channels == 5  # at most as many as come in


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("reduction", [None, 0.5])
@torch.no_grad()
def test_a_fusion_block(down: bool, reduction: float | None) -> None:
    """x_0 has 6 channels, x_2 14; a quarter of them, 3, is put behind; half of 17 is 8."""
    block = FusionBlock(6, [8, 12, 16], growth=4, down=down, reduction=reduction).eval()
    x, low, last = torch.randn(2, 6, 5, 7), torch.randn(2, 20, 3, 4), torch.randn(2, 18, 2, 2)
    *before, out = block(x, low, last)
    size = (3, 4) if down else (5, 7)
    expected = [(10, 5, 7)] if down else []
    expected += [] if reduction is None else [(14, *size)]
    assert [tuple(part.shape[1:]) for part in before] == expected
    assert out.shape == (2, 17 if reduction is None else 8, *size)
    assert (block.channels, block.out_channels) == ([6, 10, 14], out.shape[1])

    x1 = block.layers[0](x, low[:, :8])
    x2 = block.layers[1](x1, low[:, :12])
    wanted = torch.cat((x2, resize(block.merge(last[:, :16]), x2.shape[2:])), 1)
    if reduction is not None:
        torch.testing.assert_close(before[-1], x2)
        wanted = block.transition(wanted)
    if down:
        torch.testing.assert_close(before[0], x1)
    torch.testing.assert_close(out, wanted)


def test_sizes_that_leave_nothing() -> None:
    with pytest.raises(ExeuntError, match="none of 3 channels"):
        FusionLayer(5, 9, growth=3)
    with pytest.raises(ExeuntError, match=r"a share of 0.01 leaves none of 11 channels"):
        DenseBlock(5, growth=3, depth=2, reduction=0.01)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("down", [False, True])
def test_gradients_of_a_fusion_block_are_those_of_slices(
    down: bool, layout: torch.memory_format
) -> None:
    """What trains reads dense copies of the low map; what does not train reads slices of it."""
    torch.manual_seed(0)
    block = FusionBlock(4, [3, 5, 7], growth=8, down=down).double()
    for norm in (part for part in block.modules() if isinstance(part, torch.nn.BatchNorm2d)):
        norm.eval()
    x, low = (torch.randn(2, c, 6, 4).double().contiguous(memory_format=layout) for c in (4, 7))
    found = []
    for training in (True, False):
        block.training = training
        leaves = [part.detach().requires_grad_() for part in (x, low)]
        out = block(leaves[0], leaves[1], leaves[1])
        sum((part**2).sum() for part in out).backward()
        found.append([leaf.grad for leaf in leaves])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)
