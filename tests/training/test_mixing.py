"""Mixup and CutMix against naive ones, and what becomes of losses and accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from exeunt.data import Batch, UnreadableTally
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.training import Execution, Targets, TrainConfig, exit_losses
from exeunt.training.checkpoint import TrainState
from exeunt.training.ema import Ema
from exeunt.training.epoch import train_epoch
from exeunt.training.losses import Criterion
from exeunt.training.mixing import mix
from exeunt.training.optimiser import Optimisers
from exeunt.training.regimes import Joint, Pass, Regime

CONFIG = TrainConfig("none")
TARGETS = torch.arange(6)
# Pixel (y, x) of image n is n + y / 100 + x / 10000: it says where it comes from.
IMAGES = (
    torch.arange(6.0).view(6, 1, 1, 1)
    + torch.arange(10.0).view(1, 1, 10, 1) / 100
    + torch.arange(8.0).view(1, 1, 1, 8) / 10000
).double()


def test_nothing_is_mixed_unless_asked_for() -> None:
    images, targets = mix(IMAGES, TARGETS, CONFIG, np.random.default_rng(0))
    assert images is IMAGES
    assert targets.second is None
    assert targets.dominant is TARGETS


def test_mixup() -> None:
    shares = []
    for seed in range(2000):
        config = replace(CONFIG, mixup=0.4)
        images, targets = mix(IMAGES, TARGETS, config, np.random.default_rng(seed))
        assert targets.second is not None
        assert targets.first is TARGETS
        assert sorted(targets.second.tolist()) == list(range(6))
        share = targets.share
        shares.append(share)
        if seed < 20:
            for n in range(6):
                m = int(targets.second[n])
                expected = share * IMAGES[n] + (1 - share) * IMAGES[m]
                torch.testing.assert_close(images[n], expected)
    # Beta(a, a) has the mean 1/2 and the variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.8), rel=0.06)


def test_cutmix() -> None:
    before, sizes = IMAGES.clone(), []
    for seed in range(40):
        config = replace(CONFIG, cutmix=1.0)
        images, targets = mix(IMAGES, TARGETS, config, np.random.default_rng(seed))
        assert targets.second is not None
        own = 0
        for n in range(6):
            m = int(targets.second[n])
            for y in range(10):
                for x in range(8):
                    value = images[n, 0, y, x]
                    assert value in (IMAGES[n, 0, y, x], IMAGES[m, 0, y, x])
            if m != n:
                taken = images[n, 0] != IMAGES[n, 0]
                own = int((~taken).sum())
                assert targets.share == pytest.approx(own / 80)
                ys, xs = taken.nonzero(as_tuple=True)
                if len(ys):
                    area = (ys.max() - ys.min() + 1) * (xs.max() - xs.min() + 1)
                    assert area == len(ys), "a rectangle"
        sizes.append(targets.share)
    assert torch.equal(IMAGES, before)
    assert min(sizes) < 0.5
    assert max(sizes) > 0.9


def test_with_both_a_batch_gets_one_of_them() -> None:
    config = replace(CONFIG, mixup=1.0, cutmix=1.0)
    kinds = []
    for seed in range(200):
        images, _ = mix(IMAGES, TARGETS, config, np.random.default_rng(seed))
        again, _ = mix(IMAGES, TARGETS, config, np.random.default_rng(seed))
        assert torch.equal(images, again)
        kinds.append(bool(torch.isin(images, IMAGES).all()))
    assert 70 < sum(kinds) < 130


def test_losses_of_pairs_are_those_of_soft_labels() -> None:
    torch.manual_seed(0)
    logits = [torch.randn(6, 7) for _ in range(3)]
    pairs = Targets(TARGETS, TARGETS.flip(0), 0.3)
    soft = 0.3 * F.one_hot(TARGETS, 7) + 0.7 * F.one_hot(TARGETS.flip(0), 7)
    got = Criterion(0.1)(IMAGES, logits, pairs)
    expected = [F.cross_entropy(out, soft, label_smoothing=0.1) for out in logits]
    torch.testing.assert_close(got, torch.stack(expected))
    assert pairs.dominant.tolist() == [5, 4, 3, 2, 1, 0]
    assert replace(pairs, share=0.5).dominant is TARGETS

    def focal(out: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        right = out.softmax(1)[torch.arange(6), targets]
        return (-((1 - right) ** 2) * right.log()).mean()

    seen = Pass(IMAGES, logits, got, 0, pairs)
    expected = [0.3 * focal(out, TARGETS) + 0.7 * focal(out, TARGETS.flip(0)) for out in logits]
    torch.testing.assert_close(seen.exit_losses(focal), torch.stack(expected))
    plain = replace(seen, targets=Targets(TARGETS))
    torch.testing.assert_close(plain.exit_losses(F.cross_entropy), exit_losses(logits, TARGETS))


def test_accuracy_is_told_for_what_images_show_most_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net that always knows the second target is right wherever the first has less than half."""
    second = torch.tensor([1, 2, 0, 1])
    shares = iter([0.9, 0.2, 0.6, 0.4])
    monkeypatch.setattr(
        "exeunt.training.epoch.mix",
        lambda images, targets, *_: (images, Targets(targets, second, next(shares))),
    )
    net = create_model("resnet_cifar", 3, depth=8, width=4, exits="last")
    head = net.stages[-1].exit
    head.register_forward_hook(lambda *_: F.one_hot(second, 3).float().requires_grad_())
    state = TrainState(net, Ema(net, 0.9), Optimisers(net, CONFIG), [])
    first = (second + 1) % 3
    batches = [Batch(torch.randn(4, 3, 8, 8), first, torch.arange(4), {}) for _ in range(4)]
    regime: Regime = Joint(CONFIG, (1,))
    entry = train_epoch(state, batches, 4, CONFIG, regime, UnreadableTally(16), Execution())
    assert entry["train_accuracy"] == [0.5]


@pytest.mark.parametrize("setting", ["mixup", "cutmix"])
@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_odd_amounts_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ExeuntError, match=f"{setting}="):
        replace(CONFIG, **{setting: value})
