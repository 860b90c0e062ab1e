from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.data import ImageFile, Sample
from exeunt.errors import ExeuntError
from exeunt.training.units import Units


def samples(*targets: float) -> list[Sample]:
    return [Sample(ImageFile(Path("x.png")), target, "x.png") for target in targets]


def test_values_are_learnt_with_mean_0_and_deviation_1() -> None:
    units = Units.of(samples(1000.0, 1004.0, 1008.0, 1012.0))
    assert units.mean == 1006
    assert units.std == pytest.approx(20**0.5)  # squares 36, 4, 4, 36
    learnt = [sample.target for sample in units.learnt(samples(1006.0, 1006 + 20**0.5))]
    assert learnt == pytest.approx([0, 1])


def test_restored_nets_say_values() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    net = attach_exits(backbone, [0], 1)
    units = Units(mean=1006.0, std=4.0)
    x = torch.randn(2, 3, 8, 8)
    before = net(x)
    for now, then in zip(units.restored(net)(x), before, strict=True):
        torch.testing.assert_close(now, 4 * then + 1006)
    for now, then in zip(net(x), before, strict=True):
        assert torch.equal(now, then), "the net in training is left alone"


def test_classes_have_no_units() -> None:
    units = Units.of(samples(0, 3))
    net = attach_exits(nn.Sequential(nn.Conv2d(3, 4, 3)), [], 4)
    pool = samples(0, 3)
    assert units.restored(net) is net
    assert units.learnt(pool) is pool


def test_values_must_differ() -> None:
    with pytest.raises(ExeuntError, match=r"all 2 values to learn are 3\.0"):
        Units.of(samples(3.0, 3.0))


def test_an_exit_that_cannot_be_rescaled_is_named() -> None:
    net = attach_exits(nn.Sequential(nn.Conv2d(3, 4, 3)), [], 1)
    net.stages[0].exit = nn.Flatten()
    with pytest.raises(ExeuntError, match=r"stages\.0\.exit \(Flatten\) has no rescale"):
        Units(0.0, 2.0).restored(net)
