from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from exeunt.errors import ExeuntError
from exeunt.native import using
from exeunt.ops.recurrence import CELLS, MinGRU
from exeunt.ops.rex import ReX2d

# The oracle: the paper's equations, one patch after the other, with the modules of torch.


def last_states(rnn: nn.Module, sequence: Tensor) -> list[Tensor]:
    """Final state of every direction of `rnn` over (T, features), each (hidden,)."""
    if isinstance(rnn, nn.RNNBase):
        state = rnn(sequence[:, None])[1]
        return list((state[0] if isinstance(rnn, nn.LSTM) else state)[:, 0])
    ends = []
    for suffix in ("", "_reverse") if rnn.bidirectional else ("",):
        if isinstance(rnn, MinGRU):
            w, bias = (getattr(rnn, f"{name}_l0{suffix}") for name in ("weight_ih", "bias_ih"))
            h = torch.zeros(rnn.hidden_size)
            for x in sequence.flip(0) if suffix else sequence:
                z, c = (w @ x + bias).chunk(2)
                h = (1 - torch.sigmoid(z)) * h + torch.sigmoid(z) * torch.tanh(c)
            ends.append(h)
            continue
        w, u, bias, mix = (
            getattr(rnn, f"{name}_l0{suffix}")
            for name in ("weight_ih", "weight_hh", "bias_ih", "mix")
        )
        bias_z, bias_c = bias.chunk(2)
        zeta, nu = mix.sigmoid()
        h = torch.zeros_like(bias_z)
        for x in sequence.flip(0) if suffix else sequence:
            z = torch.sigmoid(w @ x + u @ h + bias_z)
            c = torch.tanh(w @ x + u @ h + bias_c)
            h = z * h + (zeta * (1 - z) + nu) * c
        ends.append(h)
    return ends


def one_patch(rex: ReX2d, patch: Tensor) -> Tensor:
    """Equations 1-8 for a patch (C, h, w)."""
    rows = torch.stack([last_states(rex.rnn1, row.T)[0] for row in patch.unbind(1)])
    columns = torch.stack([last_states(rex.rnn1, column.T)[0] for column in patch.unbind(2)])

    def both_ways(summaries: Tensor) -> Tensor:
        if rex.shared_directions:
            ways = last_states(rex.rnn2, summaries) + last_states(rex.rnn2, summaries.flip(0))
        else:
            ways = last_states(rex.rnn2, summaries)
        return torch.cat(ways)

    parts = []
    if rex.use_rows:
        parts.append(both_ways(rows))
    if rex.use_global:
        parts.append(rex.linear(torch.cat([*rows, *columns])))
    if rex.use_cols:
        parts.append(both_ways(columns))
    return torch.cat(parts)


def positions(length: int, size: int, stride: int, padding: Any) -> tuple[list[int], int]:
    """First line of every patch, possibly outside, and how often the last patch is repeated."""
    if padding == "same":
        out = math.ceil(length / stride)
        before = max((out - 1) * stride + size - length, 0) // 2
        return [k * stride - before for k in range(out)], 0
    if padding == "replicate_out":
        starts = list(range(0, length - size + 1, stride))
        return starts, math.ceil(length / stride) - len(starts)
    return list(range(-padding, length + padding - size + 1, stride)), 0


def patch_by_patch(rex: ReX2d, x: Tensor) -> Tensor:
    pads = rex.padding if isinstance(rex.padding, tuple) else (rex.padding, rex.padding)
    (down, more_rows), (across, more_columns) = (
        positions(*each) for each in zip(x.shape[2:], rex.patch_size, rex.stride, pads, strict=True)
    )
    margin = 40
    canvas = F.pad(x, (margin,) * 4)
    h, w = rex.patch_size
    images = []
    for image in canvas:
        lines = []
        for top in down:
            patches = [
                image[:, margin + top : margin + top + h, margin + left : margin + left + w]
                for left in across
            ]
            line = [one_patch(rex, patch) for patch in patches]
            lines.append(torch.stack(line + line[-1:] * more_columns, dim=1))
        images.append(torch.stack(lines + lines[-1:] * more_rows, dim=1))
    return torch.stack(images)


def make(*sizes: Any, **options: Any) -> ReX2d:
    """A layer with all parameters drawn anew, so that no two biases are equal."""
    rex = ReX2d(*sizes, **options)
    for parameter in rex.parameters():
        nn.init.uniform_(parameter, -0.7, 0.7)
    return rex


def assert_same(rex: ReX2d, x: Tensor) -> None:
    """Values, and gradients of the input and of every parameter, are those of the oracle."""
    x.requires_grad_()
    ours, expected = rex(x), patch_by_patch(rex, x)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(rex(x), expected, rtol=0, atol=1e-5)  # by kernels in C
        with using("0"):
            torch.testing.assert_close(rex(x), ours, rtol=0, atol=1e-6)
    weight = torch.randn_like(ours)
    leaves = [x, *rex.parameters()]
    gradients = torch.autograd.grad((ours * weight).sum(), leaves)
    wanted = torch.autograd.grad((expected * weight).sum(), leaves)
    scale = max(gradient.abs().max().item() for gradient in wanted)
    for ours, expected in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5 * max(1.0, scale))


GEOMETRIES = {
    "the paper's": ((6, 6), (4, 4), (8, 8), "same"),
    "odd map": ((6, 6), (4, 4), (9, 7), "same"),
    "one large patch": ((9, 7), (9, 7), (9, 7), "same"),
    "patch larger than the map": ((6, 5), (4, 4), (3, 2), "same"),
    "long patch": ((2, 5), (1, 3), (4, 11), "same"),
    "stride over the patch": ((2, 3), (4, 5), (9, 11), "same"),
    "one axis of each": ((2, 5), (3, 2), (8, 7), "same"),
    "single pixels": ((1, 1), (2, 1), (5, 3), "same"),
    "no padding": ((3, 3), (2, 2), (8, 9), 0),
    "padding over the stride": ((4, 3), (2, 2), (5, 6), (3, 2)),
    "padding, stride over the patch": ((2, 2), (3, 4), (7, 9), (1, 3)),
    "rows and columns differ": ((3, 2), (2, 3), (6, 7), (0, 2)),
    "replicated": ((6, 6), (4, 4), (10, 12), "replicate_out"),
    "replicated, stride over the patch": ((2, 2), (3, 3), (7, 10), "replicate_out"),
    "nothing to replicate": ((2, 2), (2, 2), (6, 4), "replicate_out"),
}


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_agrees_with_the_equations_patch_by_patch(geometry: str) -> None:
    patch_size, stride, size, padding = GEOMETRIES[geometry]
    assert_same(make(3, 4, 2, patch_size, stride, padding), torch.randn(2, 3, *size))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_agrees_for_every_cell(cell: str, shared: bool) -> None:
    rex = make(3, 4, 2, (4, 3), (3, 2), cell=cell, shared_directions=shared)
    assert_same(rex, torch.randn(2, 3, 7, 6))


@pytest.mark.parametrize("off", ["rows", "global", "cols", "rows global", "rows cols"])
def test_an_ablation_drops_its_branch_and_nothing_else(off: str) -> None:
    options = {f"use_{branch}": False for branch in off.split()}
    rex = make(3, 4, 2, 3, 2, **options)
    assert_same(rex, torch.randn(2, 3, 7, 6))

    whole = make(3, 4, 2, 3, 2)
    rex.load_state_dict(
        {name: value for name, value in whole.state_dict().items() if name in rex.state_dict()}
    )
    blocks = dict(zip(("rows", "global", "cols"), ((0, 4), (4, 12), (12, 16)), strict=True))
    x = torch.randn(2, 3, 7, 6)
    left = [whole(x)[:, slice(*blocks[branch])] for branch in blocks if branch not in off]
    torch.testing.assert_close(rex(x), torch.cat(left, dim=1))
    assert rex.out_channels == rex(x).shape[1]


def test_the_early_layer_of_the_paper() -> None:
    rex = ReX2d(32, 16, 8, patch_size=6, stride=4)
    assert rex(torch.randn(1, 32, 112, 112)).shape == (1, 64, 28, 28)
    assert ReX2d(32, 16, 8, 6, 4, "replicate_out").windows(112, 112)[0].out == 27
    assert rex.macs(112, 112) == (62_017_536, 145_711_104)


def test_the_early_layer_of_the_paper_agrees_in_its_corner() -> None:
    rex = make(32, 16, 8, 6, 4)
    x = torch.randn(1, 32, 112, 112)
    expected = patch_by_patch(rex, x[..., :12, :16])  # only its last patches miss the pixels beyond
    torch.testing.assert_close(rex(x)[..., :2, :3], expected[..., :2, :3], rtol=0, atol=1e-5)


def test_gradients_are_the_numerical_ones() -> None:
    rex = make(2, 3, 2, (3, 2), 2).double()
    x = torch.randn(2, 2, 4, 5, dtype=torch.double, requires_grad=True)
    names, values = zip(*rex.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        parameters = dict(zip(names, values, strict=True))
        out: Tensor = torch.func.functional_call(rex, parameters, (x,))
        return out

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


def test_macs_where_the_stride_exceeds_the_patch() -> None:
    # 9x9 map, 2x2 patches every 4 lines: 3x3 patches, "same" pads 1 line behind and none before.
    # Lines 0 1 4 5 8 are read: 25 pixels. Of 6 lines (with the padded one), each is swept from 3
    # starts, 2 steps long, in both directions of the map.
    rex = ReX2d(5, 3, 2, 2, 4)
    project, recur = 3 * 5 * 3, 3 * 3 * 3
    project2, recur2 = 2 * 3 * 3 * 2, 2 * 3 * 2 * 2  # both ways
    linear = (2 + 2) * 3 * 8
    sweeps = 6 * 3
    branch = sweeps * 2 * recur + sweeps * project2 + 9 * 2 * recur2
    shared = 25 * project + 2 * branch + 9 * linear
    per_patch = 9 * (2 * 4 * (project + recur) + 2 * 2 * (project2 + recur2) + linear)
    assert rex.macs(9, 9) == (shared, per_patch)


@pytest.mark.parametrize(
    "off",
    [{}, {"use_rows": False}, {"use_global": False}, {"use_rows": False, "use_global": False}],
)
def test_macs_are_what_torch_counts(off: dict[str, bool]) -> None:
    rex = ReX2d(5, 4, 2, (3, 4), 2, padding=0, **off)
    x = torch.randn(1, 5, 7, 8)  # every line is read and nothing is padded
    with torch.no_grad(), FlopCounterMode(display=False) as ours:
        rex(x)
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        for patch in F.unfold(x, (3, 4), stride=2).view(5, 3, 4, -1).unbind(3):
            # an ablated branch saves its own work, and R1's where nothing else needs it
            rows = torch.stack([row.T for row in patch.unbind(1)], dim=1)
            columns = torch.stack([column.T for column in patch.unbind(2)], dim=1)
            for sequences, branch in ((rows, rex.use_rows), (columns, rex.use_cols)):
                if branch or rex.use_global:
                    ends = rex.rnn1(sequences)[1]
                if branch:
                    rex.rnn2(ends.transpose(0, 1))
            if rex.use_global:
                rex.linear(torch.zeros(1, 7 * 4))
    assert rex.macs(7, 8) == (ours.get_total_flops() // 2, theirs.get_total_flops() // 2)


@pytest.mark.parametrize(
    ("change", "culprits"),
    [
        ({"in_channels": 0}, ["in_channels=0", "at least 1"]),
        ({"hidden1": -3}, ["hidden1=-3", "at least 1"]),
        ({"hidden2": 2.5}, ["hidden2=2.5", "whole number"]),
        ({"patch_size": 0}, ["patch_size=0", "at least 1"]),
        ({"patch_size": (3, 2, 1)}, ["patch_size=(3, 2, 1)", "pair"]),
        ({"stride": (2, -1)}, ["stride=(2, -1)", "at least 1"]),
        ({"padding": -1}, ["padding=-1", "at least 0"]),
        ({"padding": "valid"}, ["'valid'", '"same"', '"replicate_out"']),
        ({"cell": "qrnn"}, ["'qrnn'", "gru, lstm, rnn, fastgrnn, mingru"]),
        (
            dict.fromkeys(("use_rows", "use_global", "use_cols"), False),
            ["use_rows", "at least one"],
        ),
    ],
)
def test_bad_sizes_are_named(change: dict[str, Any], culprits: list[str]) -> None:
    options = {"in_channels": 3, "hidden1": 4, "hidden2": 2, "patch_size": 3, "stride": 2} | change
    with pytest.raises(ExeuntError) as error:
        ReX2d(**options)
    for culprit in culprits:
        assert culprit in str(error.value)


@pytest.mark.parametrize(
    ("padding", "shape", "culprits"),
    [
        ("same", (2, 5, 7, 6), ["(2, 5, 7, 6)", "(N, 3, H, W)"]),
        ("same", (3, 7, 6), ["(3, 7, 6)", "(N, 3, H, W)"]),
        (0, (2, 3, 7, 2), ["2 lines", "no patch of 3"]),
        ("replicate_out", (2, 3, 1, 6), ["1 lines", "'replicate_out'", "at most 1"]),
    ],
)
def test_bad_inputs_are_named(padding: Any, shape: tuple[int, ...], culprits: list[str]) -> None:
    with pytest.raises(ExeuntError) as error:
        ReX2d(3, 4, 2, 3, 2, padding)(torch.zeros(shape))
    for culprit in culprits:
        assert culprit in str(error.value)
