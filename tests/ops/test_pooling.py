from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.macs import count_macs
from exeunt.ops.pooling import GatedPool2d, GFGP2d, MixedPool2d

SIZES = [((8, 12), 4, 4), ((7, 9), 4, 4), ((3, 5), 4, 4), ((7, 6), 3, 2), ((6, 5), 3, 1)]


def loop(
    x: Tensor, size: int, stride: int, reduce: Callable[[int, int, Tensor, int, int], Tensor]
) -> Tensor:
    """Calls `reduce(n, c, window, top, left)` for every window, cut off at the edge of the map."""
    height, width = x.shape[2:]
    tops = range(0, max(height - size, 0) + stride, stride)
    lefts = range(0, max(width - size, 0) + stride, stride)
    # the last window is the first that reaches the edge
    tops = [t for t in tops if t == 0 or t - stride + size < height]
    lefts = [j for j in lefts if j == 0 or j - stride + size < width]
    out = x.new_empty(*x.shape[:2], len(tops), len(lefts))
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i, top in enumerate(tops):
                for j, left in enumerate(lefts):
                    window = x[n, c, top : top + size, left : left + size]
                    out[n, c, i, j] = reduce(n, c, window, top, left)
    return out


def maximum(n: int, c: int, window: Tensor, top: int, left: int) -> Tensor:
    return window.max()


def average(n: int, c: int, window: Tensor, top: int, left: int) -> Tensor:
    return window.mean()


def image(size: tuple[int, int]) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 4, *size, dtype=torch.double)


@pytest.mark.parametrize(("size", "kernel", "stride"), SIZES)
@pytest.mark.parametrize("channels", [None, 4])
def test_mixed(size: tuple[int, int], kernel: int, stride: int, channels: int | None) -> None:
    pool, x = MixedPool2d(kernel, stride, channels).double(), image(size)
    with torch.no_grad():
        pool.logit.copy_(torch.tensor([0.3, -1.0, 2.0, 0.0])[: channels or 1])
    logits = pool.logit.tolist() * (4 if channels is None else 1)

    def mixed(n: int, c: int, window: Tensor, top: int, left: int) -> Tensor:
        alpha = 1 / (1 + math.exp(-logits[c]))
        return alpha * window.max() + (1 - alpha) * window.mean()

    torch.testing.assert_close(pool(x), loop(x, kernel, stride, mixed))


@pytest.mark.parametrize(("size", "kernel", "stride"), SIZES)
@pytest.mark.parametrize("channels", [None, 4])
def test_gated(size: tuple[int, int], kernel: int, stride: int, channels: int | None) -> None:
    pool, x = GatedPool2d(kernel, stride, channels).double(), image(size)
    nn.init.normal_(pool.mask)

    def gated(n: int, c: int, window: Tensor, top: int, left: int) -> Tensor:
        mask = pool.mask[c if channels else 0, 0, : window.shape[0], : window.shape[1]]
        gate = torch.sigmoid((mask * window).sum())
        return gate * window.max() + (1 - gate) * window.mean()

    torch.testing.assert_close(pool(x), loop(x, kernel, stride, gated))


@pytest.mark.parametrize(("size", "kernel", "stride"), SIZES)
@pytest.mark.parametrize("bound", ["sigmoid", "softplus"])
def test_gfgp(size: tuple[int, int], kernel: int, stride: int, bound: str) -> None:
    pool, x = GFGP2d(4, kernel, stride, bound).double().eval(), image(size)
    for norm in (pool.guide.reduce_norm, pool.guide.expand_norm):
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.5, 2)

    def norm(module: nn.BatchNorm2d, vector: Tensor) -> Tensor:
        scaled = (vector - module.running_mean) / (module.running_var + module.eps).sqrt()
        return scaled * module.weight + module.bias

    def sharpness(features: Tensor) -> Tensor:
        guide = pool.guide
        hidden = guide.reduce.weight[:, :, 0, 0] @ features + guide.reduce.bias
        hidden = norm(guide.reduce_norm, hidden).clamp(min=0)
        out = guide.expand.weight[:, :, 0, 0] @ hidden + guide.expand.bias
        out = norm(guide.expand_norm, out)
        return 1 / (1 + (-out).exp()) if bound == "sigmoid" else (1 + out.exp()).log()

    by_image = [sharpness(features.mean((1, 2))) for features in x]

    def peaked(n: int, c: int, window: Tensor, top: int, left: int) -> Tensor:
        weights = (by_image[n][c] * window).exp()
        return (weights * window).sum() / weights.sum()

    torch.testing.assert_close(pool(x), loop(x, kernel, stride, peaked))


@pytest.mark.parametrize(("size", "kernel", "stride"), SIZES)
def test_limits(size: tuple[int, int], kernel: int, stride: int) -> None:
    """Between average and maximum lies all that these can do."""
    x = image(size)
    largest, mean = loop(x, kernel, stride, maximum), loop(x, kernel, stride, average)
    gfgp, mixed = GFGP2d(4, kernel, stride), MixedPool2d(kernel, stride).double()
    zero = x.new_zeros(1, 1, 1, 1)
    torch.testing.assert_close(gfgp.pool(x, zero), mean)
    torch.testing.assert_close(gfgp.pool(x, zero + 1e4), largest)
    for logit, limit in ((-60.0, mean), (60.0, largest), (0.0, (mean + largest) / 2)):
        nn.init.constant_(mixed.logit, logit)
        torch.testing.assert_close(mixed(x), limit)
    torch.testing.assert_close(GatedPool2d(kernel, stride).double()(x), (mean + largest) / 2)


def test_large_exponents_do_not_overflow() -> None:
    out = GFGP2d(1, 2).pool(torch.tensor([[[[500.0, 1.0], [2.0, 3.0]]]]), torch.full((1, 1), 9.0))
    assert out.item() == 500


@pytest.mark.parametrize("kind", ["mixed", "gated", "gfgp"])
def test_gradients(kind: str) -> None:
    torch.manual_seed(0)
    pool = {"mixed": MixedPool2d(2), "gated": GatedPool2d(2), "gfgp": GFGP2d(2, 2)}[kind]
    pool = pool.double()
    for parameter in pool.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    names, parameters = zip(*pool.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(pool, dict(zip(names, values, strict=True)), (x,))

    x = torch.randn(2, 2, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_macs_by_hand() -> None:
    """7x9 maps of 4 channels have 2x3 windows of 4x4."""
    x = torch.randn(2, 4, 7, 9)
    gated = count_macs(GatedPool2d(4).eval(), x)
    assert (gated.by_module, gated.uncounted) == ({"": 4 * 6 * 16}, [])
    gfgp = count_macs(GFGP2d(4, 4).eval(), x)
    assert (gfgp.by_module, gfgp.uncounted) == ({"guide.reduce": 8, "guide.expand": 8}, [])
    mixed = count_macs(MixedPool2d(4), x)
    assert (mixed.by_module, mixed.uncounted) == ({}, [])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MixedPool2d(0), "MixedPool2d: kernel_size=0"),
        (lambda: GatedPool2d(2, 3), "GatedPool2d: stride=3 skips pixels between windows of 2"),
        (lambda: MixedPool2d(2, channels=0), "channels=0"),
        (lambda: GFGP2d(4, 2, bound="relu"), "unknown bound 'relu'; one of sigmoid, softplus"),
        (lambda: MixedPool2d(3, 2)(torch.ones(1, 1, 1, 5)), "1 x 5 is too small .* at least 2 x 2"),
        (lambda: GFGP2d(4, 2)(torch.ones(1, 3, 4, 4)), r"expected \(N, 4, H, W\)"),
    ],
)
def test_wrong_arguments(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        build()
