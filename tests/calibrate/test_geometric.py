"""Geometric exit shares, against a plain loop over samples and shares worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from exeunt.calibrate import RATIOS, geometric_policies, geometric_policy
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay
from exeunt.policies import Confidence, Entropy, Margin, Threshold, parse_policy

Make = Callable[..., ExitTable]


def naive(table: ExitTable, ratio: float, criterion: type[Threshold], temperature: float):
    """The published procedure, sample by sample."""
    exits, samples = table.num_exits, len(table)
    shares = [ratio**k / sum(ratio**j for j in range(exits)) for k in range(exits)]
    larger_is_surer = criterion is not Entropy
    taken, thresholds = [False] * samples, []
    for k in range(exits - 1):
        values = table.read(criterion.reading(temperature), k).tolist()
        count, threshold = 0, criterion.never
        for row in sorted(range(samples), key=lambda i: values[i], reverse=larger_is_surer):
            if not taken[row]:
                count += 1
                if count == math.floor(samples * shares[k]):
                    threshold = values[row]
                    break
        thresholds.append(threshold)
        for row in range(samples):
            sure = values[row] >= threshold if larger_is_surer else values[row] <= threshold
            taken[row] = taken[row] or sure
    return tuple(thresholds)


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("criterion", [Confidence, Margin, Entropy])
def test_thresholds_are_those_of_a_plain_loop(
    criterion: type[Threshold], temperature: float, noisy_table: Make
) -> None:
    table = noisy_table(samples=120)
    for ratio in (0.05, 0.3, 1.0, 1.35, 1.95):
        policy = geometric_policy(table, ratio, criterion, temperature)
        assert policy.threshold == naive(table, ratio, criterion, temperature)
        assert policy.temperature == temperature


def test_shares_are_those_asked_for_where_nothing_ties(noisy_table: Make) -> None:
    table = noisy_table(samples=310)  # 31 = 1 + 2 + 4 + 8 + 16
    assert replay(table, geometric_policy(table, 2.0)).exit_shares == pytest.approx(
        [part / 31 for part in (1, 2, 4, 8, 16)]
    )
    assert replay(table, geometric_policy(table, 0.5)).exit_shares == pytest.approx(
        [part / 31 for part in (16, 8, 4, 2, 1)]
    )


def test_those_as_sure_as_the_threshold_leave_too(make_table: Make) -> None:
    # Shares of 2 in 6; at exit 0 three are equally sure, so three leave, and two of three at exit 1
    first = torch.tensor([0.5, 0.9, 0.5, 0.9, 0.9, 0.6])
    second = torch.tensor([0.7, 1.0, 0.8, 1.0, 1.0, 0.6])
    p = torch.stack([first, second, second])
    logits = torch.stack([p, 1 - p], dim=2).clamp(min=1e-6).log()
    table = make_table(logits, torch.zeros(6).long())
    outcome = replay(table, geometric_policy(table, 1.0))
    assert outcome.exit_index.tolist() == [1, 0, 1, 0, 0, 2]


def test_marks_accumulate(make_table: Make) -> None:
    # All four are equally sure at exit 0, and none is left for the others.
    logits = torch.tensor([1.0, 0.0]).expand(3, 4, 2)
    table = make_table(logits, torch.zeros(4).long())
    policy = geometric_policy(table, 1.0)
    assert policy.threshold == (torch.tensor([1.0, 0.0]).softmax(0)[0].item(), math.inf)
    assert replay(table, policy).exit_shares == (1.0, 0.0, 0.0)


def test_an_exit_is_never_taken_for_less_than_one_sample(noisy_table: Make) -> None:
    table = noisy_table(samples=20)
    assert geometric_policy(table, 0.05).threshold[1:] == (math.inf,) * 3
    assert geometric_policy(table, 0.05, Entropy).threshold[1:] == (-math.inf,) * 3
    late = geometric_policy(table, 1e3)
    assert late.threshold == (math.inf,) * 4
    assert replay(table, late).saving == 0


def test_the_usual_sweep_spends_more_and_more(noisy_table: Make) -> None:
    table = noisy_table()
    policies = geometric_policies(table)
    assert len(policies) == len(RATIOS) == 39
    assert RATIOS[:1] + RATIOS[-1:] == (0.05, 1.95)
    costs = [replay(table, policy).mean_macs for policy in policies]
    assert costs == sorted(costs)
    assert policies[6] == geometric_policy(table, RATIOS[6])
    for policy in policies:
        assert parse_policy(policy.spec) == policy


def test_temperatures_for_each_exit_may_include_the_last(noisy_table: Make) -> None:
    table = noisy_table()
    policy = geometric_policy(table, 0.8, temperature=(0.5, 1.0, 2.0, 3.0, 4.0))
    assert policy.temperature == (0.5, 1.0, 2.0, 3.0)
    alone = [geometric_policy(table, 0.8, temperature=t).threshold[0] for t in (0.5, 2.0)]
    assert policy.threshold[0] == alone[0] != alone[1]


@pytest.mark.parametrize("exits", [1, 2])
def test_few_exits(exits: int, noisy_table: Make) -> None:
    table = noisy_table(exits=exits)
    policy = geometric_policy(table, 1.0)
    assert parse_policy(policy.spec) == policy
    assert replay(table, policy).exit_shares == pytest.approx([1 / exits] * exits)


@pytest.mark.parametrize("split", ["test", "all"])
def test_the_test_split_is_refused(split: str, noisy_table: Make) -> None:
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        geometric_policy(replace(noisy_table(), split=split), 0.5)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_a_senseless_ratio_is_refused(ratio: float, noisy_table: Make) -> None:
    with pytest.raises(ExeuntError, match="ratio must be a finite number > 0"):
        geometric_policy(noisy_table(), ratio)


def test_regression_has_no_thresholds(noisy_values: Make) -> None:
    with pytest.raises(ExeuntError, match="consistency:K,eta=X"):
        geometric_policy(noisy_values(), 0.5)
