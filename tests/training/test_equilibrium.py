from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.models import create_model
from exeunt.net import MultiExitNet, Stage
from exeunt.training.equilibrium import gradient_equilibrium, scale_gradient


class Times(nn.Module):
    """One weight that multiplies the last tensor of the state, and leaves the others alone."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.double))

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        return *state[:-1], self.weight * state[-1]


class Head(nn.Module):
    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.double))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.mean((2, 3))


def three_exits() -> MultiExitNet:
    """Logits h1 a x, h2 b a x, h3 c b a x."""
    trunks, heads = (2.0, 3.0, 5.0), (7.0, 11.0, 13.0)
    return MultiExitNet(
        [Stage(Times(t), Head(h)) for t, h in zip(trunks, heads, strict=True)], 1, 1
    )


def gradients(net: MultiExitNet, x: Tensor) -> tuple[list[float], list[float]]:
    net.zero_grad()
    torch.stack([out.sum() for out in net(x)]).sum().backward()
    return tuple(  # type: ignore[return-value]
        [stage.get_submodule(part).weight.grad.item() for stage in net.stages]
        for part in ("trunk", "exit")
    )


def test_gradients_by_hand() -> None:
    """a, b, c = 2, 3, 5; h = 7, 11, 13; x = 1. Shares of the exits: at the first feature 1/3 and
    2/3 onward, at the second 1/2 and 1/2, at the third all.
    """
    net, x = three_exits(), torch.ones(1, 1, 1, 1, dtype=torch.double)
    trunks, exits = gradients(net, x)
    assert exits == [2, 6, 30]  # what the head reads
    assert trunks == pytest.approx([7 + 11 * 3 + 13 * 15, 2 * (11 + 13 * 5), 6 * 13])
    before = [out.item() for out in net(x)]
    with gradient_equilibrium(net):
        trunks, exits = gradients(net, x)
        assert [out.item() for out in net(x)] == before
    assert exits == [2, 6, 30]
    second = 1 / 2 * 11 + 1 / 2 * 13 * 5  # of the second feature
    first = 1 / 3 * 7 + 2 / 3 * 3 * second
    assert trunks == pytest.approx([first, 2 * second, 6 * 13])


def test_nothing_stays_behind() -> None:
    net, x = three_exits(), torch.ones(1, 1, 1, 1, dtype=torch.double)
    plain = gradients(net, x)
    with pytest.raises(KeyError), gradient_equilibrium(net):
        raise KeyError
    assert gradients(net, x) == plain


@pytest.mark.parametrize("name", ["rex_mobilenetv2_035", "msdnet_cifar10", "ranet_cifar10"])
def test_two_exits_send_the_first_feature_the_same_share(name: str) -> None:
    """Of E exits the first sends 1/E, and the second (E - 1)/E of its 1/(E - 1)."""
    small = {"msdnet_cifar10": {"blocks": 3}, "ranet_cifar10": {"step": 1}}.get(name, {})
    torch.manual_seed(0)
    net = create_model(name, 4, **small).double().eval()
    x = torch.randn(2, 3, 32, 32, dtype=torch.double)
    _, *state = net.stages[0](x)
    feature = state[-1].detach().requires_grad_()
    first = net.stages[0].exit(feature).square().sum()
    second = net.stages[1](*state[:-1], feature)[0].square().sum()
    (expected,) = torch.autograd.grad((first + second) / net.num_exits, feature)

    seen: list[Tensor] = []

    def watch(module: nn.Module, args: tuple[Tensor, ...], out: Any) -> None:
        (out[-1] if isinstance(out, tuple) else out).register_hook(seen.append)

    net.stages[0].trunk.register_forward_hook(watch)
    with gradient_equilibrium(net):
        logits = net(x)
        (logits[0].square().sum() + logits[1].square().sum()).backward()
    torch.testing.assert_close(seen[0], expected)


def test_the_scale_is_the_identity_forward() -> None:
    x = torch.randn(3, requires_grad=True)
    y = scale_gradient(x, 0.25)
    assert torch.equal(x, y)
    y.sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 0.25))
