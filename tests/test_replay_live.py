"""Replayed logits against the live loop, on real networks and in batches of different sizes.

A stage that runs on fewer rows may add in another order and so differ in its last bits. The
networks here work in float64 and round their logits as recording does: then rows are the same in
any company, and decisions and logits must be equal to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from exeunt.evaluate import ExitTable, record, replay
from exeunt.inference import infer
from exeunt.models import create_model
from exeunt.net import MultiExitNet, State
from exeunt.policies import Confidence, Consistency, Entropy, Every, Full, Margin, Policy

SAMPLES, CLASSES = 20, 5
CLASS_POLICIES: list[Policy] = [
    Full(),
    Consistency(1),
    Consistency(2),
    Confidence(0.55),
    Confidence((0.8, 0.4, math.inf, 0.6, 0.5)),
    Confidence((0.7, 0.5, 0.6, 0.45), temperature=(2.0, 0.5)),
    Margin(0.3),
    Margin((0.5, 0.2, math.inf), temperature=1.7),
    Entropy(0.9),
    Entropy((-math.inf, 1.2, 0.8, 1.0), temperature=0.6),
    Every((Consistency(1), Confidence(0.5))),
    Every((Margin((0.2, 0.3)), Entropy(1.1, 0.8), Consistency(1))),
]
VALUE_POLICIES: list[Policy] = [Full(), Consistency(1, eta=0.5), Consistency(2, eta=1.0)]


@dataclass
class Images:
    """What `record` asks of a batch."""

    images: Tensor
    targets: Tensor
    indices: Tensor


class Rounded(MultiExitNet):
    """A net whose logits are rounded as they leave the exits."""

    dtype = torch.float32

    def step(self, k: int, state: State) -> tuple[Tensor, State]:
        logits, state = super().step(k, state)
        return logits.to(self.dtype), state


def lively_net(name: str, outputs: int, images: Tensor) -> Rounded:
    """Random weights, normalised so that logits have mean 0 and deviation 1.5 on the images."""
    torch.manual_seed(1)
    net = create_model(name, num_classes=outputs).double()
    for norm in (module for module in net.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0  # one batch settles the statistics
    with torch.no_grad():
        net.train()(images)
        for stage, logits in zip(net.stages, net.eval()(images), strict=True):
            (linear,) = (m for m in stage.get_submodule("exit").modules() if type(m) is nn.Linear)
            scale = 1.5 / logits.std(dim=0)
            linear.weight *= scale[:, None]
            linear.bias.copy_(scale * (linear.bias - logits.mean(dim=0)))
    return Rounded(net.stages, outputs).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(SAMPLES, 3, 32, 32, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module", params=["rex_mobilenetv2_035", "mobilenetv2_035"])
def net(request: pytest.FixtureRequest, images: Tensor) -> Rounded:
    return lively_net(request.param, CLASSES, images)


def table_of(net: Rounded, images: Tensor) -> ExitTable:
    """Recorded in batches of 7."""
    classes = net.num_classes > 1
    targets = torch.arange(SAMPLES) % CLASSES if classes else torch.linspace(-1, 1, SAMPLES)
    return record(
        net,
        [Images(images[p], targets[p], p) for p in torch.arange(SAMPLES).split(7)],
        exit_macs=range(1, net.num_exits + 1),
        task="classification" if classes else "regression",
        names=[f"{i}.png" for i in range(SAMPLES)],
        split="calibration",
        data_fingerprint="d",
        dtype=net.dtype,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_replay_is_the_live_loop(
    net: Rounded, images: Tensor, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net, "dtype", dtype)
    assert_same(net, images, CLASS_POLICIES)


def test_replay_of_regression_is_the_live_loop(images: Tensor) -> None:
    assert_same(lively_net("rex_mobilenetv2_035", 1, images), images, VALUE_POLICIES)


def assert_same(net: Rounded, images: Tensor, policies: list[Policy]) -> None:
    """Every policy decides alike, live in batches of 20, 6 and 1 and replayed."""
    table = table_of(net, images)
    assert table.logits.dtype == net.dtype
    shares = {replay(table, policy).exit_shares for policy in policies}
    assert len(shares) == len(policies), "the policies must differ for this test"
    for policy in policies:
        outcome = replay(table, policy)
        for batch_size in (SAMPLES, 6, 1):
            live = [infer(net, part, policy) for part in images.split(batch_size)]
            exits = torch.cat([prediction.exit_index for prediction in live])
            assert torch.equal(exits, outcome.exit_index), (policy, batch_size)
            logits = torch.cat([prediction.logits for prediction in live])
            assert logits.dtype == outcome.logits.dtype
            assert torch.equal(logits, outcome.logits), (policy, batch_size)
