from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.macs import count_macs
from exeunt.ops.recurrence import FastGRNN
from exeunt.ops.rnnpool import RNNPool2d


def last_state(rnn: FastGRNN, sequence: list[Tensor]) -> Tensor:
    """FastGRNN, one step after the other, over vectors."""
    bias_z, bias_c = rnn.bias_ih_l0.chunk(2)
    zeta, nu = rnn.mix_l0.sigmoid()
    h = torch.zeros_like(bias_z)
    for x in sequence:
        a = rnn.weight_ih_l0 @ x + rnn.weight_hh_l0 @ h
        z, c = torch.sigmoid(a + bias_z), torch.tanh(a + bias_c)
        h = z * h + (zeta * (1 - z) + nu) * c
    return h


def summary(pool: RNNPool2d, patch: Tensor) -> Tensor:
    """Algorithm 1 of the RNNPool paper for a patch (C, h, w)."""
    rows = [last_state(pool.rnn1, list(row.T)) for row in patch.unbind(1)]
    columns = [last_state(pool.rnn1, list(column.T)) for column in patch.unbind(2)]
    ways = [rows, rows[::-1], columns, columns[::-1]]
    return torch.cat([last_state(pool.rnn2, way) for way in ways])


def make(*sizes: int, padding: str | int = "same") -> RNNPool2d:
    pool = RNNPool2d(*sizes, padding=padding).double()
    for parameter in pool.parameters():
        nn.init.uniform_(parameter, -0.8, 0.8)
    return pool


def test_against_the_algorithm_patch_by_patch() -> None:
    torch.manual_seed(0)
    pool = make(2, 3, 2, 4, 3)
    x = torch.randn(2, 2, 4, 5, dtype=torch.double)
    # "same": 2 patches of 4 every 3 lines span 7, so 4 lines get 1 zero before and 2 behind, 5 get
    # 1 and 1
    canvas = F.pad(x, (1, 1, 1, 2))
    expected = torch.stack(
        [
            torch.stack(
                [
                    torch.stack([summary(pool, image[:, i : i + 4, j : j + 4]) for j in (0, 3)], 1)
                    for i in (0, 3)
                ],
                1,
            )
            for image in canvas
        ]
    )
    torch.testing.assert_close(pool(x), expected)


def test_gradients() -> None:
    torch.manual_seed(0)
    pool = make(1, 2, 1, 2, 2)
    names, parameters = zip(*pool.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(pool, dict(zip(names, values, strict=True)), (x,))

    x = torch.randn(1, 1, 4, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_as_edgeml_lays_its_patches() -> None:
    """112 lines: 27 patches of 6 every 4, and the last output line repeated."""
    torch.manual_seed(0)
    pool = make(1, 1, 1, 6, 4, padding="replicate_out")
    with torch.no_grad():
        out = pool(torch.randn(1, 1, 112, 22, dtype=torch.double))
    assert out.shape == (1, 4, 28, 6)
    assert torch.equal(out[:, :, 27], out[:, :, 26])
    assert torch.equal(out[..., 5], out[..., 4])


def test_one_set_of_weights_for_both_ways() -> None:
    """Parameters of a stage with hidden sizes 16: 16*(32+16+2)+2 and 16*(16+16+2)+2."""
    pool = RNNPool2d(32, 16, 16, 6, 4)
    assert sum(p.numel() for p in pool.rnn1.parameters()) == 802
    assert sum(p.numel() for p in pool.rnn2.parameters()) == 546
    assert sum(p.numel() for p in pool.parameters()) == 1348
    assert pool.out_channels == 64


def test_macs_by_hand() -> None:
    """A 5x3 map is one patch: 15 pixels, 5 + 3 sweeps, 2 x 8 steps of the second RNN."""
    pool = RNNPool2d(2, 3, 4, (5, 3), (5, 3), padding=0)
    first = 15 * 2 * 3 + (5 * 3 + 3 * 5) * 3 * 3
    second = 2 * (5 + 3) * (3 * 4 + 4 * 4)
    assert count_macs(pool, torch.randn(2, 2, 5, 3)).by_module == {"": first + second}


def test_wrong_arguments() -> None:
    with pytest.raises(ExeuntError, match="hidden2=0"):
        RNNPool2d(3, 4, 0, 6, 4)
    with pytest.raises(ExeuntError, match="unknown padding 'valid'"):
        RNNPool2d(3, 4, 4, 6, 4, padding="valid")
