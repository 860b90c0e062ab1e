"""Budgets, against the sweep of ratios and costs added up by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from exeunt.calibrate import budgeted_policy, geometric_policy
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay
from exeunt.policies import Entropy, Margin

Make = Callable[..., ExitTable]


@pytest.mark.parametrize("criterion", [Margin, Entropy])
@pytest.mark.parametrize("budget", [10, 11.7, 20, 33.3, 49.99, 50, 80])
def test_budget_is_kept_and_used(budget: float, criterion, noisy_table: Make) -> None:
    table = noisy_table()
    outcome = replay(table, budgeted_policy(table, budget, criterion=criterion))
    assert outcome.mean_macs <= budget
    # no exit but the last is more than a sample away from what its share asks for
    assert outcome.mean_macs >= min(budget, 50) - 10 * 4 * 5 / len(table)


def test_no_ratio_that_keeps_the_budget_spends_more(noisy_table: Make) -> None:
    table = noisy_table(seed=4)
    found = replay(table, budgeted_policy(table, 27)).mean_macs
    spent = [
        replay(table, geometric_policy(table, 1.02**step)).mean_macs for step in range(-40, 40)
    ]
    assert found >= max(cost for cost in spent if cost <= 27) - 0.2
    assert min(spent) < 27 < max(spent)


def test_costs_of_any_unit(noisy_table: Make) -> None:
    table = noisy_table()
    costs = (0.5, 0.6, 2.5, 2.6, 9.0)  # milliseconds, say
    shares = replay(table, budgeted_policy(table, 3.1, costs)).exit_shares
    spent = math.fsum(share * cost for share, cost in zip(shares, costs, strict=True))
    assert 3.0 < spent <= 3.1
    in_macs = budgeted_policy(table, 31, [10 * cost for cost in costs])
    assert in_macs == budgeted_policy(table, 3.1, costs)


def test_one_sure_sample_more_would_be_too_much(make_table: Make) -> None:
    # Two exits at 10 and 20: of four samples two may go on for a mean of 15, none for 12.
    p = torch.tensor([0.9, 0.8, 0.7, 0.6])
    first = torch.stack([p, 1 - p], dim=1).log()
    last = 5 * nn.functional.one_hot(torch.zeros(4).long(), 2).float()
    table = make_table(torch.stack([first, last]), torch.zeros(4).long())
    assert replay(table, budgeted_policy(table, 15)).exit_index.tolist() == [0, 0, 1, 1]
    assert replay(table, budgeted_policy(table, 12)).exit_index.tolist() == [0, 0, 0, 0]
    assert replay(table, budgeted_policy(table, 12.5)).exit_index.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((9.99,), "the least that is possible is 10,"),
        ((math.nan,), "cannot be kept"),
        ((math.inf,), "cannot be kept"),
        ((20, (1, 2, 3)), r"one number per exit \(5\)"),
        ((20, (1, 2, 3, 5, 4)), "cumulative"),
        ((20, (1, 2, 3, 4, math.inf)), "cumulative"),
    ],
)
def test_refusals(arguments, message: str, noisy_table: Make) -> None:
    with pytest.raises(ExeuntError, match=message):
        budgeted_policy(noisy_table(), *arguments)


def test_the_test_split_is_refused(noisy_table: Make) -> None:
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        budgeted_policy(replace(noisy_table(), split="test"), 20)
