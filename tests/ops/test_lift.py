from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.lift import Lift, LiftDownPool2d
from exeunt.ops.macs import count_macs


def make(channels: int, **options: object) -> LiftDownPool2d:
    torch.manual_seed(0)
    pool = LiftDownPool2d(channels, **options).double()
    for parameter in pool.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return pool


def naive_filter(net: nn.Sequential, lines: Tensor) -> Tensor:
    """The filter over (L, C) vectors: a window of them, ReLU, a matrix, tanh."""
    length, channels = lines.shape
    weight = net.conv.weight.flatten(2)  # C, C or 1, K
    half = weight.shape[2] // 2
    out = torch.zeros_like(lines)
    for i in range(length):
        for c in range(channels):
            total = net.conv.bias[c]
            for k in range(weight.shape[2]):
                if 0 <= i + k - half < length:
                    seen = lines[i + k - half]
                    seen = seen[c : c + 1] if weight.shape[1] == 1 else seen
                    total = total + (weight[c, :, k] * seen).sum()
            out[i, c] = total.clamp(min=0)
    return torch.tanh(out @ net.mix.weight[:, :, 0, 0].T + net.mix.bias)


def naive_lift(lift: Lift, lines: Tensor) -> tuple[Tensor, Tensor]:
    """Approximation and detail of an (L, C) signal; an odd one has its last vector twice."""
    if len(lines) % 2:
        lines = torch.cat([lines, lines[-1:]])
    even, odd = lines[::2], lines[1::2]
    detail = odd - naive_filter(lift.predict, even)
    return even + naive_filter(lift.update, detail), detail


def naive_bands(pool: LiftDownPool2d, image: Tensor) -> list[Tensor]:
    """LL, LH, HL, HH of (C, H, W): every row is lifted, then every column of both results."""
    rows = [naive_lift(pool.across, row.T) for row in image.unbind(1)]
    bands = []
    for half, lift in ((0, pool.down_low), (1, pool.down_high)):
        half_image = torch.stack([row[half].T for row in rows], 1)  # C, H, W/2
        columns = [naive_lift(lift, column.T) for column in half_image.unbind(2)]
        bands += [torch.stack([column[i].T for column in columns], 2) for i in (0, 1)]
    return bands


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1)])
@pytest.mark.parametrize("depthwise", [True, False])
def test_against_the_formulas(size: tuple[int, int], depthwise: bool) -> None:
    pool = make(2, kernel_size=3, depthwise=depthwise)
    x = torch.randn(2, 2, *size, dtype=torch.double)
    expected = [torch.stack(band) for band in zip(*(naive_bands(pool, i) for i in x), strict=True)]
    for band, wanted in zip(pool.bands(x), expected, strict=True):
        torch.testing.assert_close(band, wanted)
    torch.testing.assert_close(pool(x), expected[0] + expected[1] + expected[2] + expected[3])


@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 5), (9, 11), (2, 1), (1, 1)])
def test_perfect_reconstruction(size: tuple[int, int]) -> None:
    pool = make(3)
    x = torch.randn(2, 3, *size, dtype=torch.double)
    bands = pool.bands(x)
    assert bands[0].shape == (2, 3, (size[0] + 1) // 2, (size[1] + 1) // 2)
    torch.testing.assert_close(pool.inverse(bands, size), x, rtol=0, atol=1e-13)


def test_regularisers_by_hand() -> None:
    """With predict = tanh(1/2) and update = 0, on a map that is constant along its columns."""
    pool = LiftDownPool2d(1, predict_weight=0.5, update_weight=0.25)
    for parameter in pool.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(pool.across.predict.mix.bias, 0.5)
    assert pool.auxiliary_loss().item() == 0
    guess = torch.tensor(0.5).tanh().item()
    pool(torch.tensor([[[[1.0, 4.0], [1.0, 4.0]]]]))
    # across: low 1, high 4 - guess; s - a = 1 - 2.5. Then rows of low and of high: even and odd
    # lines agree, so d = value and s = a.
    high = 4 - guess
    small = high**2 + 1.0**2 + high**2
    close = (1 - 2.5) ** 2
    assert pool.auxiliary_loss().item() == pytest.approx(0.5 * small + 0.25 * close)


def test_the_regularisers_teach_the_filters() -> None:
    pool, x = make(2), torch.randn(2, 2, 6, 6, dtype=torch.double)
    pool(x)
    pool.auxiliary_loss().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pool.parameters())
    optimizer = torch.optim.SGD(pool.parameters(), lr=0.1)
    before = pool.auxiliary_loss().item()
    optimizer.step()
    pool(x)
    assert pool.auxiliary_loss().item() < before


def test_evaluation_leaves_the_loss_alone() -> None:
    pool, x = make(2), torch.randn(2, 2, 6, 6, dtype=torch.double)
    pool.eval()(x)
    assert pool.auxiliary_loss().item() == 0
    pool.train()(x)
    after_training = pool.auxiliary_loss()
    pool.eval()(x + 1)
    assert pool.auxiliary_loss() is after_training


def test_can_be_copied_after_a_pass() -> None:
    pool, x = make(2), torch.randn(2, 2, 6, 6, dtype=torch.double)
    out = pool(x)
    twin = copy.deepcopy(pool)
    assert twin.auxiliary_loss().item() == 0
    assert pool.auxiliary_loss().item() > 0
    assert torch.equal(twin(x), out)


def test_gradients() -> None:
    pool = make(1, kernel_size=3)
    names, parameters = zip(*pool.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> tuple[Tensor, Tensor]:
        out = torch.func.functional_call(pool, dict(zip(names, values, strict=True)), (x,))
        return out, pool.auxiliary_loss()

    x = torch.randn(1, 1, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_macs_by_hand() -> None:
    """5x7: 5x4 pixels of each half across, 3x4 of each quarter; two filters of 3 C + C C each."""
    count = count_macs(LiftDownPool2d(4, kernel_size=3), torch.randn(2, 4, 5, 7))
    one = 3 * 4 + 4 * 4
    assert count.total == 2 * 20 * one + 2 * 12 * one + 2 * 12 * one
    assert count.uncounted == []


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LiftDownPool2d(0), "channels=0"),
        (lambda: LiftDownPool2d(2, kernel_size=4), "kernel_size=4; give an odd number"),
        (lambda: LiftDownPool2d(2, update_weight=-1), "update_weight=-1"),
        (lambda: LiftDownPool2d(2)(torch.ones(1, 3, 4, 4)), r"expected \(N, 2, H, W\)"),
        (
            lambda: LiftDownPool2d(1).inverse((torch.ones(1, 1, 2, 2),) * 4, (4, 5)),
            "4 x 5 has bands of 2 x 3, not of 2 x 2",
        ),
    ],
)
def test_wrong_arguments(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        build()
