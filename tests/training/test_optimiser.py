from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from exeunt.errors import ExeuntError
from exeunt.ops.rex import ReX2d
from exeunt.training import TrainConfig
from exeunt.training.optimiser import Optimisers


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), ReX2d(4, 3, 1, 4, 2))


def slopes(net: nn.Module, seed: int) -> None:
    """The same gradients for equal networks."""
    torch.manual_seed(seed)
    for parameter in net.parameters():
        parameter.grad = torch.randn_like(parameter)


def cells_and_rest(net: nn.Sequential) -> tuple[list[Tensor], list[Tensor]]:
    """Written out by name: the two RNNs of ReX, and everything else."""
    named = dict(net.named_parameters())
    cells = [p for name, p in named.items() if name.startswith(("2.rnn1", "2.rnn2"))]
    return cells, [p for name, p in named.items() if not name.startswith(("2.rnn1", "2.rnn2"))]


def assert_same_steps(ours: nn.Module, config: TrainConfig, others: list[Optimizer]) -> None:
    theirs = [p for other in others for group in other.param_groups for p in group["params"]]
    assert len(theirs) == len(list(ours.parameters()))
    optimisers = Optimisers(ours, config)
    reference = others[0].param_groups[0]["params"][0]
    assert reference is not None
    for seed in range(3):
        slopes(ours, seed)
        optimisers.step()
    by_shape = sorted(theirs, key=lambda p: (p.shape, p.sum().item()))
    mine = sorted(ours.parameters(), key=lambda p: (p.shape, p.sum().item()))
    for a, b in zip(mine, by_shape, strict=True):
        torch.testing.assert_close(a, b)


def decaying(parameters: list[Tensor], decay: float) -> list[dict[str, object]]:
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]


def test_adamw_is_that_of_torch_and_cells_may_decay_apart() -> None:
    net = network()
    other = copy.deepcopy(net)
    cells, rest = cells_and_rest(other)
    theirs = AdamW(
        [*decaying(rest, 0.3), {"params": cells, "weight_decay": 0.0}], lr=0.01, betas=(0.8, 0.95)
    )
    for seed in range(3):
        slopes(other, seed)
        theirs.step()
    config = TrainConfig(
        "x", optimizer="adamw", lr=0.01, momentum=0.8, beta2=0.95, weight_decay=0.3,
        cell_weight_decay=0.0,
    )  # fmt: skip
    assert_same_steps(net, config, [theirs])


def test_cells_may_have_an_optimiser_and_a_rate_of_their_own() -> None:
    net = network()
    other = copy.deepcopy(net)
    cells, rest = cells_and_rest(other)
    theirs: list[Optimizer] = [
        SGD(decaying(rest, 0.1), lr=0.05, momentum=0.9, nesterov=True),
        AdamW(decaying(cells, 0.1), lr=0.002, betas=(0.9, 0.99)),
    ]
    for seed in range(3):
        slopes(other, seed)
        for part in theirs:
            part.step()
    config = TrainConfig("x", weight_decay=0.1, cell_optimizer="adamw", cell_lr=0.002)
    assert_same_steps(net, config, theirs)


def test_rates_are_shares_of_each_peak() -> None:
    optimisers = Optimisers(network(), TrainConfig("x", lr=0.4, cell_lr=0.1))
    optimisers.scale_rates(0.5)
    rates = {group["lr"] for part in optimisers.parts for group in part.param_groups}
    assert rates == {0.2, 0.05}


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw"}, {"cell_optimizer": "adamw"}])
def test_what_is_remembered_goes_on(settings: dict[str, str]) -> None:
    config = TrainConfig("x", **settings)  # type: ignore[arg-type]
    net = network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    first = Optimisers(net, config)
    slopes(net, 0)
    first.step()
    other = copy.deepcopy(net)
    second = Optimisers(other, config)
    second.load({name: tensor.clone().contiguous() for name, tensor in first.tensors().items()})
    assert second.tensors().keys() == first.tensors().keys()
    for optimisers, mine in ((first, net), (second, other)):
        slopes(mine, 1)
        optimisers.step()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_optimiser_has_its_usual_rate_and_decay() -> None:
    assert (TrainConfig("x").lr, TrainConfig("x").weight_decay) == (0.05, 1e-4)
    adamw = TrainConfig("x", optimizer="adamw")
    assert (adamw.lr, adamw.weight_decay) == (3e-3, 0.05)
    with pytest.raises(ExeuntError, match="optimizer='adam'; did you mean adamw"):
        TrainConfig("x", optimizer="adam")  # type: ignore[arg-type]


def test_on_a_processor_adamw_steps_in_one_pass() -> None:
    (part,) = Optimisers(network(), TrainConfig("x", optimizer="adamw")).parts
    assert part.defaults["fused"] is True
    (part,) = Optimisers(network().to("meta"), TrainConfig("x", optimizer="adamw")).parts
    assert part.defaults["fused"] is None


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_what_begins_to_learn_later_learns(kind: str) -> None:
    net = network()
    optimisers = Optimisers(net, TrainConfig("x", optimizer=kind))  # type: ignore[arg-type]
    slopes(net, 0)
    net[0].weight.grad = None
    before = net[0].weight.clone()
    optimisers.step()
    assert torch.equal(net[0].weight, before)
    slopes(net, 1)
    optimisers.step()
    assert not torch.equal(net[0].weight, before)
