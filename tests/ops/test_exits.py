from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from exeunt.errors import ExeuntError
from exeunt.ops.exits import (
    EXIT_HEADS,
    ConvExit,
    MixedPoolExit,
    PooledExit,
    ReXExit,
    exit_kinds,
    make_exit,
)


@pytest.mark.parametrize("kind", EXIT_HEADS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (14, 9)])
def test_every_head_takes_every_size(kind: str, size: tuple[int, int]) -> None:
    head = make_exit(kind, 12, 5).eval()
    assert head(torch.randn(3, 12, *size)).shape == (3, 5)


def test_pooled_is_mean_and_linear() -> None:
    head = PooledExit(3, 2)
    x = torch.arange(24.0).view(1, 3, 2, 4)
    means = torch.tensor([[3.5, 11.5, 19.5]])  # of 0..7, 8..15, 16..23
    expected = means @ head.classifier.weight.T + head.classifier.bias
    torch.testing.assert_close(head(x), expected)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_mixed_pool_is_sdns_where_the_grid_divides_the_map(size: int) -> None:
    """SDN: windows of floor(S / 4), stride the same, alpha max + (1 - alpha) average."""
    head = MixedPoolExit(6, 5)
    x = torch.randn(2, 6, size, size)
    k, alpha = size // 4, head.alpha.detach()
    mixed = alpha * F.max_pool2d(x, k, k) + (1 - alpha) * F.avg_pool2d(x, k, k)
    torch.testing.assert_close(head(x), head.classifier(mixed.flatten(1)))
    head(x).sum().backward()
    assert head.alpha.grad is not None
    assert 0 <= float(alpha) < 1


def test_rex_exit_averages_the_summaries() -> None:
    head = ReXExit(10, 4)
    x = torch.randn(2, 10, 14, 14)
    torch.testing.assert_close(head(x), head.classifier(head.rex(x).mean((2, 3))))
    assert head.classifier.in_features == 64


@pytest.mark.parametrize(("size", "width"), [(8, 128), (7, None)])
def test_conv_exit_is_the_papers_where_their_pooling_fits(size: int, width: int | None) -> None:
    head = ConvExit(10, 4, width=width).eval()
    first, second = head.convs
    x = torch.randn(2, 10, size, size)
    y = x
    for layer in (first, second):
        assert layer.conv.out_channels == (width or 10)
        y = F.conv2d(y, layer.conv.weight, stride=2, padding=1)
        y = (y / (1 + layer.norm.eps) ** 0.5).relu()  # fresh norms have mean 0 and variance 1
    expected = head.classifier(F.avg_pool2d(y, 2).flatten(1))
    torch.testing.assert_close(head(x), expected)


def test_kinds_of_exits() -> None:
    assert exit_kinds("mixed", 3) == ["mixed", "mixed", "mixed"]
    assert exit_kinds("mixed", 3, last="pooled") == ["mixed", "mixed", "pooled"]
    assert exit_kinds(["rex", "conv", "rex"], 3, last="pooled") == ["rex", "conv", "rex"]
    with pytest.raises(ExeuntError, match="2 kinds for 3 exits"):
        exit_kinds(("rex", "conv"), 3)
    for kinds in ("max", ["rex", "max", "rex"]):
        with pytest.raises(ExeuntError, match=r"'max'; one of pooled"):
            exit_kinds(kinds, 3)


@pytest.mark.parametrize("kind", EXIT_HEADS)
def test_reset_classifier(kind: str) -> None:
    head = make_exit(kind, 12, 5).double().eval()
    head.reset_classifier(9)
    out = head(torch.randn(1, 12, 4, 4, dtype=torch.double))
    assert out.shape == (1, 9)
    assert out.dtype == torch.double


@pytest.mark.parametrize("kind", EXIT_HEADS)
def test_rescale(kind: str) -> None:
    head = make_exit(kind, 12, 1).eval()
    torch.nn.init.normal_(head.classifier.bias)
    x = torch.randn(3, 12, 5, 5)
    before = head(x)
    head.rescale(40.0, -7.0)
    torch.testing.assert_close(head(x), 40 * before - 7)


def test_unknown_head() -> None:
    with pytest.raises(ExeuntError, match=r"'spatial'.*pooled, mixed, rex"):
        make_exit("spatial", 12, 5)


def test_dropout_acts_in_training_only() -> None:
    head = PooledExit(64, 3, dropout=0.5)
    x = torch.ones(1, 64, 2, 2)
    assert not torch.equal(head(x), head(x))
    head.eval()
    assert torch.equal(head(x), head(x))
