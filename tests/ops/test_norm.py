"""Batch norm and activation by the kernels in C, against torch's operators in double precision."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from exeunt.native import SIMD, in_use, native
from exeunt.native.norm import parallel
from exeunt.ops import norm as ops_norm
from exeunt.ops.conv import ConvNormAct, NormAct, NormActConv
from exeunt.ops.norm import norm_act

KERNELS = native()
pytestmark = pytest.mark.skipif(KERNELS is None, reason=f"kernels: {in_use()}")
THERE = [name for n, name in enumerate(SIMD) if KERNELS and KERNELS.library.exeunt_has(n)]
ACTS: dict[str, nn.Module | None] = {"none": None, "relu": nn.ReLU(True), "relu6": nn.ReLU6(True)}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one for every call of the kernels."""
    made: list[None] = []
    run = ops_norm.run_norm

    def count(*arguments: Any) -> None:
        made.append(None)
        run(*arguments)

    monkeypatch.setattr(ops_norm, "run_norm", count)
    return made


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def drawn(channels: int, momentum: float | None = 0.1) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, eps=1e-2, momentum=momentum)
    nn.init.uniform_(norm.weight, -2, 2)
    nn.init.uniform_(norm.bias, -1, 2)
    return norm


def there_and_back(
    x: Tensor, norm: nn.BatchNorm2d, act: nn.Module | None, asked: Tensor
) -> list[Tensor]:
    """The output, three gradients, and what the norm remembers."""
    x = x.detach().requires_grad_()
    out = norm_act(x, norm, act)
    grads = torch.autograd.grad(out, (x, norm.weight, norm.bias), asked)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return [out.detach(), *grads, norm.running_mean, norm.running_var]


@settings(deadline=None, max_examples=80, derandomize=True)
@given(
    simd=st.sampled_from(THERE),
    channels=st.integers(1, 70),
    images=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    act=st.sampled_from([*ACTS]),
    momentum=st.sampled_from([0.1, 1.0, None]),
    middle=st.sampled_from([0.0, 30.0, -1000.0]),
    seed=st.integers(0, 99),
)
def test_it_is_what_doubles_give(
    simd: str,
    channels: int,
    images: int,
    height: int,
    width: int,
    act: str,
    momentum: float | None,
    middle: float,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    x = channels_last(torch.randn(images + 1, channels, height, width) + middle)
    norm = drawn(channels, momentum)
    exact = copy.deepcopy(norm).double()
    before = norm_act(x.double(), copy.deepcopy(exact))
    asked = torch.randn_like(x)
    near = ((before - 0).abs() < 5e-3) | ((before - 6).abs() < 5e-3)
    asked[near] = 0  # on a limit a gradient may pass or not
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXEUNT_NATIVE", simd)
        ours = there_and_back(x, norm, ACTS[act], asked)
    expected = there_and_back(x.double(), exact, ACTS[act], asked.double())
    digits = 1e-5 + 3e-6 * abs(middle)  # x * slope + offset in float32, with slopes up to 20
    for one, other in zip(ours, expected, strict=True):
        size = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one.double(), other, rtol=0, atol=digits * size)
    assert norm.num_batches_tracked == 1


@pytest.mark.skipif(parallel() is None, reason="torch has no OpenMP that is known")
def test_threads_share_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exeunt.native.norm._LEAST", 1)
    torch.manual_seed(0)
    x, norm = channels_last(torch.randn(3, 5, 7, 7)), drawn(5)
    asked = channels_last(torch.randn_like(x))
    alone = there_and_back(x, copy.deepcopy(norm), ACTS["relu"], asked)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        shared = there_and_back(x, norm, ACTS["relu"], asked)
    finally:
        torch.set_num_threads(before)
    for one, other in zip(shared, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_without_threads_to_share_with_torch_does_it(
    calls: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops_norm, "parallel", lambda: None)
    x, norm = channels_last(torch.randn(3, 5, 7, 7)), drawn(5)
    norm_act(x, norm)
    assert len(calls) == (torch.get_num_threads() == 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    calls.clear()
    norm_act(x, norm)
    assert not calls


@pytest.mark.parametrize("layout", ["some channels", "plain", "transposed", "of one pixel"])
def test_gradients_may_lie_otherwise(layout: str, calls: list[None]) -> None:
    torch.manual_seed(0)
    x, norm = channels_last(torch.randn(2, 6, 5, 5)), drawn(6)
    asked = {
        "some channels": channels_last(torch.randn(2, 9, 5, 5))[:, 2:8],
        "plain": torch.randn(2, 6, 5, 5),
        "transposed": channels_last(torch.randn(2, 6, 5, 5)).transpose(2, 3),
        "of one pixel": torch.randn(2, 6, 1, 1).expand(2, 6, 5, 5),
    }[layout]
    ours = there_and_back(x, copy.deepcopy(norm), ACTS["relu"], asked)
    dense = there_and_back(x, norm, ACTS["relu"], channels_last(asked))
    assert all(map(torch.equal, ours, dense))
    assert len(calls) == 4


@pytest.mark.parametrize("made", [ConvNormAct(6, 8, 3, 2), NormAct(6), NormActConv(6, 4)])
def test_the_blocks_use_it_in_training_alone(made: nn.Sequential, calls: list[None]) -> None:
    x = channels_last(torch.randn(2, 6, 5, 5))
    made.to(memory_format=torch.channels_last).train()
    torch.testing.assert_close(made(x), nn.Sequential(*made)(x))
    assert len(calls) == 1
    assert torch.equal(made.eval()(x), nn.Sequential(*made)(x))
    assert len(calls) == 1


def test_what_is_no_case_for_kernels_goes_to_torch(calls: list[None]) -> None:
    torch.manual_seed(0)
    x = channels_last(torch.randn(2, 6, 5, 5))
    norm = nn.BatchNorm2d(6)
    for case, layer in (
        (x.contiguous(), norm),
        (x.double(), nn.BatchNorm2d(6).double()),
        (x, nn.BatchNorm2d(6, affine=False)),
        (x, nn.InstanceNorm2d(6)),
        (x[:, :3], nn.BatchNorm2d(3)),
    ):
        assert torch.equal(norm_act(case, layer, nn.ReLU()), layer(case).relu())
    assert norm_act(x, norm, nn.SiLU()).shape == x.shape
    with FlopCounterMode(display=False):
        norm_act(x, norm)
    exported = torch.export.export(NormAct(6).train(), (x,))
    assert "batch_norm" in str(exported.graph)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm_act(x[:1, :, :1, :1], norm)
    with pytest.raises(RuntimeError, match="running_mean should contain 7 elements"):
        norm_act(channels_last(torch.randn(2, 7, 3, 3)), norm)
    assert not calls


def test_hooks_see_the_maps(calls: list[None]) -> None:
    """Of the norm, of the activation, of all modules."""
    block = ConvNormAct(3, 4).to(memory_format=torch.channels_last)
    x, seen = channels_last(torch.randn(2, 3, 4, 4)), []

    def look(module: nn.Module, args: Any, out: Tensor) -> None:
        seen.append(type(module))

    for part in (block.norm, block.act):
        handle = part.register_forward_hook(look)  # type: ignore[union-attr]
        block(x)
        handle.remove()
    everywhere = nn.modules.module.register_module_forward_hook(look)
    block(x)
    everywhere.remove()
    assert seen == [nn.BatchNorm2d, nn.ReLU6, nn.Conv2d, nn.BatchNorm2d, nn.ReLU6, ConvNormAct]
    assert not calls
    block(x)
    assert len(calls) == 1


def test_gradients_of_gradients(calls: list[None]) -> None:
    torch.manual_seed(0)
    norm, asked = drawn(5), channels_last(torch.randn(2, 5, 3, 3))

    def penalty(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        x = x.detach().requires_grad_()
        out = norm_act(x, norm, nn.ReLU())
        (grad,) = torch.autograd.grad(out, x, asked.to(x.dtype), create_graph=True)
        return torch.autograd.grad(grad.square().sum(), norm.weight)[0]

    x = channels_last(torch.randn(2, 5, 3, 3))
    ours, exact = penalty(x, norm), penalty(x.double(), copy.deepcopy(norm).double())
    torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=1e-4)
    assert len(calls) == 1  # there; the way back is torch's


def test_what_is_no_number_stays_none() -> None:
    x = channels_last(torch.zeros(2, 3, 4, 4))
    x[0, 1, 2, 2] = torch.nan
    out = norm_act(x, nn.BatchNorm2d(3), nn.ReLU6())
    assert out[:, 1].isnan().all()
    assert torch.equal(out[:, [0, 2]], torch.zeros(2, 2, 4, 4))
