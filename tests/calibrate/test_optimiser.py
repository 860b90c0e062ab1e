"""The direct optimiser, against exhaustive search and the geometric schedule."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from exeunt.calibrate import (
    budgeted_policy,
    geometric_policies,
    optimised_policies,
    optimised_policy,
)
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay, sweep
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Every,
    Margin,
    check_policy,
    parse_policy,
)

Make = Callable[..., ExitTable]
BUDGETS = (10, 12, 17.5, 25, 40, 50)


def best_of_all(table: ExitTable, budget: float, criterion=Confidence, patience: int = 0) -> float:
    """The best accuracy over all thresholds, by trying every combination of values, sample by
    sample.
    """
    exits, samples = table.num_exits, len(table)
    values = [table.read(criterion.reading(1.0), k).tolist() for k in range(exits - 1)]
    answers = table.logits.argmax(dim=2).tolist()
    targets = table.targets.tolist()
    waits = [[0] * samples]
    for k in range(1, exits):
        same = [answers[k][i] == answers[k - 1][i] for i in range(samples)]
        waits.append([waits[-1][i] + 1 if same[i] else 0 for i in range(samples)])
    best = -1.0
    for thresholds in itertools.product(*([*row, math.inf] for row in values)):
        spent = right = 0
        for i in range(samples):
            k = 0
            while k < exits - 1 and not (values[k][i] >= thresholds[k] and waits[k][i] >= patience):
                k += 1
            spent += table.exit_macs[k]
            right += answers[k][i] == targets[i]
        if spent <= budget * samples:
            best = max(best, right / samples)
    return best


@pytest.mark.parametrize("seed", range(4))
def test_two_thresholds_are_the_best_there_are(seed: int, noisy_table: Make) -> None:
    table = noisy_table(seed, samples=16, exits=3)
    for budget in (10, 14, 20, 26):
        outcome = replay(table, optimised_policy(table, budget))
        assert outcome.mean_macs <= budget
        assert outcome.accuracy == best_of_all(table, budget)


@pytest.mark.parametrize("seed", range(2))
def test_patient_thresholds_are_the_best_there_are(seed: int, noisy_table: Make) -> None:
    table = noisy_table(seed, samples=10, exits=4, classes=3)
    for budget in (28, 35):
        policy = optimised_policy(table, budget, patient=True)
        outcome = replay(table, policy)
        assert outcome.mean_macs <= budget
        assert isinstance(policy, Every)
        # two of the three thresholds matter: without an agreement nobody leaves at the first exit
        assert outcome.accuracy == max(best_of_all(table, budget, patience=k) for k in (1, 2))


@pytest.mark.parametrize("criterion", [Confidence, Margin, Entropy])
@pytest.mark.parametrize("seed", range(3))
def test_never_worse_than_the_geometric_schedule(criterion, seed: int, noisy_table: Make) -> None:
    table = noisy_table(seed)
    costs = (1.5, 1.6, 3.0, 4.0, 7.5)
    gains = []
    for budget in (1.5, 1.7, 2.5, 4, 7):
        best = replay(table, optimised_policy(table, budget, costs, criterion))
        geometric = replay(table, budgeted_policy(table, budget, costs, criterion))
        spent = math.fsum(s * c for s, c in zip(best.exit_shares, costs, strict=True))
        assert spent <= budget * (1 + 1e-12)
        gains.append(best.accuracy - geometric.accuracy)
    assert min(gains) >= 0
    assert max(gains) > 0


@pytest.mark.parametrize(("exits", "samples", "seed"), [(5, 9, 7), (6, 12, 8), (8, 30, 8)])
def test_no_published_ratio_does_better_within_the_budget(
    exits: int, samples: int, seed: int, noisy_table: Make
) -> None:
    """On these tables the search alone ends below one of them."""
    table = noisy_table(seed, samples=samples, exits=exits)
    published = sweep(table, geometric_policies(table))
    budgets = [outcome.mean_macs for outcome in published]
    for budget, policy in zip(budgets, optimised_policies(table, budgets), strict=True):
        rivals = [outcome.accuracy for outcome in published if outcome.mean_macs <= budget]
        assert replay(table, policy).accuracy >= max(rivals)


def test_equal_answers_go_to_the_cheaper(make_table: Make) -> None:
    # Every exit is right, so all leave at the first one, whatever may be spent.
    targets = torch.arange(12) % 3
    logits = torch.randn(4, 12, 3) + 20 * torch.nn.functional.one_hot(targets, 3)
    table = make_table(logits, targets)
    assert replay(table, optimised_policy(table, 40)).exit_shares == (1, 0, 0, 0)


def test_counts_by_trying_them_all(noisy_table: Make) -> None:
    table = noisy_table(seed=5)
    outcomes = [replay(table, Consistency(k)) for k in range(1, 5)]
    for budget in (outcomes[0].mean_macs, 35, 44.9, 50):
        policy = optimised_policy(table, budget, criterion=Consistency)
        allowed = [o for o in outcomes if o.mean_macs <= budget]
        assert replay(table, policy).accuracy == max(o.accuracy for o in allowed)


def test_patient_policies_are_no_worse_than_patience_alone(noisy_table: Make) -> None:
    table = noisy_table(seed=2)
    budget = replay(table, Consistency(1)).mean_macs
    patient = replay(table, optimised_policy(table, budget, patient=True))
    assert patient.mean_macs <= budget
    assert patient.accuracy >= replay(table, Consistency(1)).accuracy
    assert isinstance(optimised_policy(table, 45, criterion=Margin, patient=True).parts[1], Margin)


def test_regression_by_trying_many(noisy_values: Make) -> None:
    table = noisy_values()
    for budget in (22, 30, 45):
        best = replay(table, optimised_policy(table, budget, criterion=Consistency))
        assert best.mean_macs <= budget
        for k, step in itertools.product((1, 2, 3), range(1, 40)):
            other = replay(table, Consistency(k, 0.05 * step))
            assert other.mean_macs > budget or other.mae >= best.mae - 0.01
    constant = replace(table, logits=torch.ones(3, 300, 1), exit_macs=(1, 2, 3))
    assert replay(constant, optimised_policy(constant, 2, criterion=Consistency)).mean_macs == 2


def test_a_curve_is_its_points_and_is_the_same_again(noisy_table: Make) -> None:
    table = noisy_table(seed=6)
    curve = optimised_policies(table, BUDGETS)
    assert curve == [optimised_policy(replace(table), budget) for budget in BUDGETS]
    for policy in curve:
        assert parse_policy(policy.spec) == policy
    check_policy(optimised_policy(table, 35, patient=True), num_classes=4)


def test_temperatures_go_into_the_policy(noisy_table: Make) -> None:
    policy = optimised_policy(noisy_table(), 25, temperature=(2.0, 1.5, 1.0, 0.7, 0.5))
    assert policy.temperature == (2.0, 1.5, 1.0, 0.7)


@pytest.mark.parametrize("exits", [1, 2])
def test_few_exits(exits: int, noisy_table: Make) -> None:
    table = noisy_table(exits=exits)
    for criterion in (Entropy, Consistency):
        policy = optimised_policy(table, 10 * exits, criterion=criterion)
        assert parse_policy(policy.spec) == policy
        assert replay(table, policy).mean_macs <= 10 * exits


def test_refusals(noisy_table: Make, noisy_values: Make) -> None:
    table = noisy_table()
    with pytest.raises(ExeuntError, match="the least that is possible is 10,"):
        optimised_policy(table, 9)
    least = f"{replay(table, Consistency(1)).mean_macs:.4f}"[:-1]
    for options in ({"criterion": Consistency}, {"patient": True}):
        with pytest.raises(ExeuntError, match=f"is possible is {least}"):
            optimised_policy(table, 19, **options)
    with pytest.raises(ExeuntError, match="patience needs three exits"):
        optimised_policy(noisy_table(exits=2), 19, patient=True)
    with pytest.raises(ExeuntError, match="consistency is patient"):
        optimised_policy(table, 40, criterion=Consistency, patient=True)
    with pytest.raises(ExeuntError, match="consistency:K,eta=X"):
        optimised_policy(noisy_values(), 40)
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        optimised_policy(replace(table, split="test"), 40)
