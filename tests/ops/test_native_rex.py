"""The kernels in C against torch's operators, which have an oracle of their own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from exeunt.native import SIMD, in_use, native
from exeunt.ops import native_rex
from exeunt.ops.recurrence import CELLS
from exeunt.ops.rex import ReX2d
from exeunt.ops.rnnpool import RNNPool2d

KERNELS = native()
pytestmark = pytest.mark.skipif(KERNELS is None, reason=f"kernels: {in_use()}")
THERE = [name for n, name in enumerate(SIMD) if KERNELS and KERNELS.library.exeunt_has(n)]


def drawn(rex: ReX2d, seed: int = 0) -> ReX2d:
    torch.manual_seed(seed)
    for parameter in rex.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return rex


def both(rex: ReX2d, x: Tensor, simd: str = "1") -> tuple[Tensor, Tensor]:
    """What the kernels give, having been asked once, and what torch's operators give."""
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        calls = counted(patch)
        patch.setenv("EXEUNT_NATIVE", simd)
        ours = rex(x)
        assert len(calls) == 1
        patch.setenv("EXEUNT_NATIVE", "0")
        expected = rex(x)
        assert len(calls) == 1
    return ours, expected


def counted(patch: pytest.MonkeyPatch) -> list[None]:
    """Grows by one for every call of the kernels."""
    calls: list[None] = []
    run = native_rex.run_rex

    def count(*arguments: Any) -> None:
        calls.append(None)
        run(*arguments)

    patch.setattr(native_rex, "run_rex", count)
    return calls


SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7))
PADDINGS = st.one_of(
    st.sampled_from(["same", "replicate_out"]), st.tuples(st.integers(0, 5), st.integers(0, 5))
)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    simd=st.sampled_from(THERE),
    cell=st.sampled_from([*CELLS]),
    channels=st.integers(1, 20),
    hidden=st.tuples(st.integers(1, 19), st.integers(1, 19)),
    patch=SIZES,
    stride=SIZES,
    padding=PADDINGS,
    branches=st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any),
    shared=st.booleans(),
    images=st.integers(1, 5),
    more=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    layout=st.sampled_from(["plain", "channels last", "transposed", "cut"]),
)
def test_any_layer(
    simd: str,
    cell: str,
    channels: int,
    hidden: tuple[int, int],
    patch: tuple[int, int],
    stride: tuple[int, int],
    padding: Any,
    branches: tuple[bool, bool, bool],
    shared: bool,
    images: int,
    more: tuple[int, int],
    layout: str,
) -> None:
    rows, middle, columns = branches
    options = {"use_rows": rows, "use_global": middle, "use_cols": columns}
    rex = ReX2d(
        *(channels, *hidden, patch, stride, padding, cell), shared_directions=shared, **options
    )
    # a size from which some patch is made
    least = [1 if padding == "same" else size for size in patch]
    height, width = (low + extra for low, extra in zip(least, more, strict=True))
    x = torch.randn(images, channels, height, width)
    if layout == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "transposed":
        x = torch.randn(images, channels, width, height).mT
    elif layout == "cut":
        x = torch.randn(images + 1, channels, height + 2, 2 * width)[1:, :, 1:-1, ::2]
    ours, expected = both(drawn(rex), x, simd)
    assert ours.shape == expected.shape
    assert ours.is_contiguous()
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("simd", THERE)
def test_the_layer_of_the_paper(simd: str) -> None:
    rex = drawn(ReX2d(32, 16, 8, 6, 4))
    ours, expected = both(rex, torch.randn(1, 32, 112, 112), simd)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_rnnpool() -> None:
    pool = drawn(RNNPool2d(4, 8, 8, 6, 4, "replicate_out"))
    ours, expected = both(pool, torch.randn(2, 4, 31, 30))
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("simd", THERE)
@pytest.mark.parametrize("cell", [*CELLS])
def test_extremes(simd: str, cell: str) -> None:
    """Gates that are wide open or shut, where exp alone would overflow."""
    rex = drawn(ReX2d(2, 3, 2, 3, 2, cell=cell))
    for scale in (1e2, 1e5, 1e30):
        ours, expected = both(rex, scale * torch.randn(2, 2, 9, 9), simd)
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("simd", THERE)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_stays_where_it_was(simd: str, value: float) -> None:
    rex = drawn(ReX2d(2, 3, 2, 3, 3))
    x = torch.randn(1, 2, 12, 12)
    x[0, 1, 4, 7] = value
    ours, expected = both(rex, x, simd)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5, equal_nan=True)
    assert expected.isnan().any() == (value != value)


@pytest.mark.parametrize("images", [1, 3, 4])
def test_threads_change_nothing(images: int) -> None:
    rex, x = drawn(ReX2d(8, 6, 4, 5, 3, "replicate_out")), torch.randn(images, 8, 200, 190)
    threads = torch.get_num_threads()
    with torch.no_grad():
        alone = rex(x)
        try:
            torch.set_num_threads(4)
            assert torch.equal(rex(x), alone)
        finally:
            torch.set_num_threads(threads)


def test_weights_that_change_are_seen() -> None:
    rex, x = drawn(ReX2d(3, 4, 2, 3, 2)), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        before = rex(x)
        other = copy.deepcopy(rex)
        rex.rnn1.weight_hh_l0.mul_(0.5)
        assert not torch.equal(rex(x), before)
        assert torch.equal(other(x), before)
        rex.load_state_dict(other.state_dict())
        assert torch.equal(rex(x), before)


def exported(rex: ReX2d, x: Tensor) -> Tensor:
    out: Tensor = torch.export.export(rex, (x,)).module()(x)
    return out


def counting(rex: ReX2d, x: Tensor) -> Tensor:
    with FlopCounterMode(display=False) as counter:
        out = rex(x)
    assert counter.get_total_flops() > 0
    return out


def traced(rex: ReX2d, x: Tensor) -> Tensor:
    out: Tensor = torch.fx.experimental.proxy_tensor.make_fx(rex)(x)(x)
    return out


OBSERVERS: dict[str, Callable[[ReX2d, Tensor], Tensor]] = {
    "torch.export": exported,
    "make_fx": traced,
    "vmap": lambda rex, x: torch.vmap(rex)(x[None])[0],
    "jvp": lambda rex, x: torch.func.jvp(rex, (x,), (x,))[0],
    "a dispatch mode": counting,
    "doubles": lambda rex, x: copy.deepcopy(rex).double()(x.double()).float(),
}


@pytest.mark.parametrize("observer", OBSERVERS)
def test_whoever_watches_sees_torch(observer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rex, x = drawn(ReX2d(3, 4, 2, 3, 2)), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        expected = rex(x)
        calls = counted(monkeypatch)
        ours = OBSERVERS[observer](rex, x)
    assert not calls
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)


def test_gradients_go_through_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    rex, x = drawn(ReX2d(3, 4, 2, 3, 2)), torch.randn(1, 3, 8, 8)
    rex(x).sum().backward()
    assert not calls
    assert rex.rnn1.weight_ih_l0.grad is not None


def test_autocast_and_inference_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    rex, x = drawn(ReX2d(3, 4, 2, 3, 2)).eval(), torch.randn(1, 3, 8, 8)
    expected = rex(x).detach()
    with torch.inference_mode():
        torch.testing.assert_close(rex(x), expected, rtol=0, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(rex(x), expected, rtol=0, atol=1e-5)
    assert len(calls) == 2
