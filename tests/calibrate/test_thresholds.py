"""What thresholds are worth on samples that did not choose them, against doing it by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from exeunt.calibrate import optimised_policy
from exeunt.calibrate.budget import exit_costs
from exeunt.calibrate.confidence import (
    confidence_scores,
    correctness,
    first_exits,
    threshold_policy,
)
from exeunt.calibrate.thresholds import best_thresholds, cross_validated
from exeunt.evaluate import ExitTable, replay
from exeunt.policies import Confidence


@pytest.fixture
def table() -> ExitTable:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (103,), generator=generator)
    noise = torch.randn(4, 103, 3, generator=generator)
    sharpness = torch.linspace(0.5, 3, 4).view(-1, 1, 1)
    return ExitTable(
        logits=noise + sharpness * nn.functional.one_hot(targets, 3),
        targets=targets,
        task="classification",
        exit_macs=(10, 17, 30, 40),
        names=tuple(map(str, range(103))),
        split="calibration",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def part(table: ExitTable, rows: Tensor) -> ExitTable:
    names = tuple(table.names[row] for row in rows.tolist())
    return replace(table, logits=table.logits[:, rows], targets=table.targets[rows], names=names)


@pytest.mark.parametrize("budget", [14, 20, 33])
def test_every_fifth_sample_is_judged_by_the_others(table: ExitTable, budget: float) -> None:
    right, rows = 0.0, torch.arange(len(table))
    for k in range(5):
        others, mine = (part(table, rows[(rows % 5 == k) == judged]) for judged in (False, True))
        outcome = replay(mine, optimised_policy(others, budget))
        assert outcome.accuracy is not None
        right += outcome.accuracy * len(mine)
    accuracy = cross_validated(
        confidence_scores(table), correctness(table), exit_costs(table, None)
    )
    assert accuracy(budget) == pytest.approx(right / len(table))


@pytest.mark.parametrize("budget", [14, 20, 33])
def test_levels_are_those_of_the_optimised_policy(table: ExitTable, budget: float) -> None:
    sure = confidence_scores(table)
    thresholds = best_thresholds(sure, correctness(table), exit_costs(table, None))(budget)
    policy = optimised_policy(table, budget)
    assert threshold_policy(Confidence, thresholds) == policy
    assert first_exits(sure, thresholds).tolist() == replay(table, policy).exit_index.tolist()


def test_an_exit_is_right_or_not(table: ExitTable) -> None:
    assert torch.equal(correctness(table), table.logits.argmax(2) == table.targets)
