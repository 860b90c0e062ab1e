from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from exeunt.data import Batch, UnreadableTally
from exeunt.errors import ExeuntError
from exeunt.models import create_model, load_weights
from exeunt.net import MultiExitNet
from exeunt.training import Execution, Quiet, Targets, TrainConfig, train
from exeunt.training.checkpoint import TrainState
from exeunt.training.ema import Ema
from exeunt.training.epoch import train_epoch
from exeunt.training.optimiser import Optimisers
from exeunt.training.regimes import (
    ExitsOnly,
    Joint,
    Mixed,
    Pass,
    Regime,
    ShallowDeep,
    Successive,
)

MACS = (30, 60, 100)
NOTHING = Targets(torch.empty(0))


def config(epochs: int) -> TrainConfig:
    return TrainConfig("resnet_cifar", epochs=epochs, warmup_epochs=0)


def seen(epoch: int) -> Pass:
    return Pass(torch.empty(0), [], torch.tensor([4.0, 2.0, 1.0]), epoch, NOTHING)


def net() -> MultiExitNet:
    torch.manual_seed(0)
    return create_model("resnet_cifar", 3, depth=8, width=4, exits=[0, 1])


def changed_by_an_epoch(regime: Regime, epoch: int) -> set[str]:
    """Prefixes of the parameters and statistics that an epoch of two steps moves."""
    model = net()
    optimisers = Optimisers(model, replace(config(9), lr=0.1, weight_decay=0.1))
    state = TrainState(model, Ema(model, 0.9), optimisers, [{}] * epoch)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    averaged = {name: t.clone() for name, t in state.ema.net.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    rows, targets = torch.arange(4), torch.arange(4) % 3
    images = [torch.randn(4, 3, 8, 8, generator=generator) for _ in range(2)]
    batches = [Batch(some, targets, rows, []) for some in images]
    train_epoch(state, batches, 2, config(9), regime, UnreadableTally(8), Execution())
    for name, tensor in state.ema.net.state_dict().items():
        same = torch.equal(tensor, averaged[name])
        assert same == torch.equal(model.state_dict()[name], before[name]), name
    moved = {n for n, t in model.state_dict().items() if not torch.equal(t, before[n])}
    parts = {".".join(name.split(".")[1:3]) for name in before}
    whole = {
        part
        for part in parts
        if all(n in moved for n in before if f".{part}." in n and "num_batches" not in n)
    }
    partly = {".".join(name.split(".")[1:3]) for name in moved} - whole
    assert not partly, f"only some of {partly} moved"
    return whole


EVERYTHING = {f"{k}.{part}" for k in range(3) for part in ("trunk", "exit")}


@pytest.mark.parametrize(
    ("kind", "epoch", "expected"),
    [
        (Joint, 0, EVERYTHING),
        (ShallowDeep, 4, EVERYTHING),
        (Mixed, 3, EVERYTHING - {"0.exit", "1.exit"}),
        (Mixed, 4, EVERYTHING),
        (ExitsOnly, 2, {"0.exit", "1.exit", "2.exit"}),
        (Successive, 0, {"0.trunk", "0.exit"}),
        (Successive, 2, {"0.trunk", "0.exit"}),
        (Successive, 3, {"1.trunk", "1.exit"}),
        (Successive, 8, {"2.trunk", "2.exit"}),
    ],
)
def test_what_learns(kind: type[Regime], epoch: int, expected: set[str]) -> None:
    """Frozen parts keep their weights, for all weight decay, and their batch norms' statistics."""
    assert changed_by_an_epoch(kind(config(9), MACS), epoch) == expected


def test_losses_by_hand() -> None:
    assert Joint(config(9), MACS).loss(seen(5)).item() == pytest.approx((4 + 2 * 2 + 3 * 1) / 6)
    assert ExitsOnly(config(9), MACS).loss(seen(5)).item() == 7
    assert [Successive(config(9), MACS).loss(seen(e)).item() for e in (0, 4, 8)] == [4, 2, 1]


def test_the_weights_of_shallow_deep_networks_rise_to_the_exits_shares() -> None:
    """tau_i = min(C_i, 0.01 + t C_i / T) with C = 0.3 and 0.6, T = 9, by hand."""
    regime = ShallowDeep(config(9), MACS)
    assert regime.loss(seen(0)).item() == pytest.approx(
        (0.01 + 0.3 / 9) * 4 + (0.01 + 0.6 / 9) * 2 + 1
    )
    assert regime.loss(seen(8)).item() == pytest.approx(0.3 * 4 + 0.6 * 2 + 1)


def test_each_stage_has_a_learning_rate_that_rises_and_falls() -> None:
    regime = Successive(config(10), MACS)
    spans = [regime.span(epoch) for epoch in range(10)]
    assert sorted(set(spans)) == [(0, 3), (3, 7), (7, 10)]
    assert all(start <= epoch < end for epoch, (start, end) in enumerate(spans))
    assert Joint(config(10), MACS).span(7) == (0, 10)


def test_mixed_trains_one_exit_and_then_all() -> None:
    """Of 10 epochs, 0.3 are 3: the last loss alone, then (4 + 2 * 2 + 3 * 1) / 6, by hand."""
    regime = Mixed(replace(config(10), mixed_share=0.3), MACS)
    assert [regime.loss(seen(e)).item() for e in (0, 2)] == [1, 1]
    assert regime.loss(seen(3)).item() == pytest.approx(11 / 6)
    assert [regime.span(e) for e in (0, 2, 3, 9)] == [(0, 3), (0, 3), (3, 10), (3, 10)]
    assert [regime.complete(e) for e in (2, 3)] == [False, True]
    for epochs, share in ((1, 0.5), (10, 0.0), (10, 1.0)):
        with pytest.raises(ExeuntError, match=rf"mixed_share={share} of epochs={epochs} are"):
            Mixed(replace(config(epochs), mixed_share=share), MACS)


def test_stages_need_an_epoch_each() -> None:
    with pytest.raises(ExeuntError, match="epochs of at least 3, not 2"):
        Successive(config(2), MACS)
    with pytest.raises(ExeuntError, match="regime='serial'; one of joint, mixed, shallow_deep"):
        TrainConfig("resnet34", regime="serial")  # type: ignore[arg-type]


CONFIG = TrainConfig("resnet_cifar", image_size=32, epochs=4, batch_size=16, lr=0.05, ema_decay=0.8)


@pytest.mark.parametrize("regime", ["joint", "mixed", "shallow_deep", "exits", "successive"])
def test_every_regime_trains_and_resumes_to_the_same_weights(
    colours: Path, tmp_path: Path, regime: str
) -> None:
    arguments = {"depth": 8, "width": 4}
    settings = replace(
        CONFIG, regime=regime, exits="0,1", model_args=arguments, gradient_equilibrium=True
    )
    whole = train(settings, colours, tmp_path / "whole")

    class Stop(Quiet):
        def epoch(self, entry: dict[str, object]) -> None:
            if entry["epoch"] == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(settings, colours, tmp_path / "cut", execution=Execution(progress=Stop()))
    train(settings, colours, tmp_path / "cut", resume=True)
    nets = [load_weights(tmp_path / run / "best.safetensors")[0] for run in ("whole", "cut")]
    for mine, theirs in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(mine, theirs)
    assert len(whole.metrics["test"]["exits"]) == 3
