from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.macs import count_macs
from exeunt.ops.renet import ReNet2d


def states(rnn: nn.GRU | nn.LSTM, suffix: str, sequence: list[Tensor]) -> list[Tensor]:
    """All states of one direction, from the formulas of GRU and LSTM."""
    w, u, b, c = (
        getattr(rnn, f"{name}_l0{suffix}")
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = memory = torch.zeros(rnn.hidden_size, dtype=w.dtype)
    out = []
    for x in sequence:
        from_x, from_h = w @ x + b, u @ h + c
        if isinstance(rnn, nn.GRU):
            r, z, n = from_x.chunk(3)
            hr, hz, hn = from_h.chunk(3)
            r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
            h = (1 - z) * torch.tanh(n + r * hn) + z * h
        else:
            i, f, g, o = (from_x + from_h).chunk(4)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(memory)
        out.append(h)
    return out


def both_ways(rnn: nn.GRU | nn.LSTM, sequence: list[Tensor]) -> list[Tensor]:
    backward = states(rnn, "_reverse", sequence[::-1])[::-1]
    return [torch.cat(pair) for pair in zip(states(rnn, "", sequence), backward, strict=True)]


def naive(net: ReNet2d, image: Tensor) -> Tensor:
    """Equations 1-4 of the ReNet paper for one padded image (C, H, W)."""
    h, w = net.patch_size
    rows, columns = image.shape[1] // h, image.shape[2] // w
    grid = [
        both_ways(
            net.columns,
            [image[:, i * h : i * h + h, j * w : j * w + w].flatten() for i in range(rows)],
        )
        for j in range(columns)
    ]
    lines = [both_ways(net.rows, [grid[j][i] for j in range(columns)]) for i in range(rows)]
    return torch.stack([torch.stack(line, 1) for line in lines], 1)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize(
    ("size", "patch", "padding"),
    [((4, 6), 2, (0, 0, 0, 0)), ((5, 7), (2, 3), (1, 1, 0, 1)), ((3, 2), 1, (0, 0, 0, 0))],
)
def test_against_the_formulas(
    cell: str,
    size: tuple[int, int],
    patch: int | tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    torch.manual_seed(0)
    net = ReNet2d(2, 3, patch, cell).double()
    x = torch.randn(2, 2, *size, dtype=torch.double)
    expected = torch.stack([naive(net, image) for image in F.pad(x, padding)])
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gradients(cell: str) -> None:
    torch.manual_seed(0)
    net = ReNet2d(1, 1, 2, cell).double()
    names, parameters = zip(*net.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))

    x = torch.randn(1, 1, 3, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *parameters))


def test_every_output_sees_the_whole_map() -> None:
    torch.manual_seed(0)
    net = ReNet2d(1, 2, 2).double()
    for corner in ((0, 0), (0, 2), (1, 1)):
        x = torch.randn(1, 1, 4, 6, dtype=torch.double, requires_grad=True)
        net(x)[0, :, *corner].square().sum().backward()
        assert x.grad is not None
        assert (x.grad != 0).all()


def test_macs_of_the_pooling_layer_in_table_3() -> None:
    """112x112x32 to 28x28x64 by GRUs of 32 over 4x4 patches."""
    with torch.no_grad():
        count = count_macs(ReNet2d(32, 32, 4), torch.zeros(1, 32, 112, 112))
    columns, rows = 2 * 3 * (512 * 32 + 32 * 32), 2 * 3 * (64 * 32 + 32 * 32)
    assert count.by_module == {"": 784 * (columns + rows)}
    assert count.total == 96_337_920
    assert count.uncounted == []


def test_runs_in_its_own_type_under_autocast() -> None:
    torch.manual_seed(0)
    net, x = ReNet2d(3, 2, 2), torch.randn(1, 3, 4, 4)
    plain = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net(x), plain)
        assert net(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4), "in_channels=0"),
        ((3, 4, (2, 0)), "patch_width=0"),
        ((3, 4, 2, "fastgrnn"), "unknown cell 'fastgrnn'; one of gru, lstm"),
    ],
)
def test_wrong_arguments(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        ReNet2d(*arguments)


def test_wrong_input() -> None:
    with pytest.raises(ExeuntError, match=r"shape \(1, 2, 8, 8\); expected \(N, 3, H, W\)"):
        ReNet2d(3, 4)(torch.randn(1, 2, 8, 8))
