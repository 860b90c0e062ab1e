"""The guarantee, against exact binomials, by hand, and over many calibrations of known outcome."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from exeunt.calibrate import guaranteed_policy
from exeunt.calibrate.binomial import at_most, samples_needed
from exeunt.calibrate.risk import lost
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay
from exeunt.policies import Confidence, Consistency, Entropy, Every, Full, Margin

Make = Callable[..., ExitTable]


@pytest.mark.parametrize("share", [Fraction(1, 100), Fraction(1, 3), Fraction(9, 10)])
@pytest.mark.parametrize(("count", "samples"), [(0, 1), (0, 50), (3, 50), (41, 60), (60, 60)])
def test_binomial_in_exact_fractions(count: int, samples: int, share: Fraction) -> None:
    exact = sum(
        math.comb(samples, i) * share**i * (1 - share) ** (samples - i) for i in range(count + 1)
    )
    assert at_most(count, samples, float(share)) == pytest.approx(float(exact), rel=1e-10)


def test_binomial_of_many_samples() -> None:
    assert at_most(500, 50_000, 0.01) == pytest.approx(0.5119, abs=2e-4)  # normal, with skewness
    assert at_most(0, 50_000, 0.5) == 0.0


def test_samples_needed() -> None:
    assert samples_needed(0.01, 0.95) == 299
    for share, probability in ((0.01, 0.95), (0.005, 0.9), (0.2, 0.999)):
        needed = samples_needed(share, probability)
        assert at_most(0, needed, share) <= 1 - probability < at_most(0, needed - 1, share)


def test_lost_by_hand(make_table: Make) -> None:
    # Predictions at the exits; targets 0. Leaving at exit 0: right, lost, not lost (both wrong),
    # and gained, which makes up for nothing.
    winning = torch.tensor([[0, 1, 1, 0], [0, 0, 1, 1]])
    logits = torch.nn.functional.one_hot(winning, 2).float()
    table = make_table(logits, torch.zeros(4).long())
    assert lost(table, Confidence(0.0)).tolist() == [False, True, False, False]
    assert not lost(table, Full()).any()


def test_lost_by_hand_in_regression(make_table: Make) -> None:
    # errors 1, 2, 0.5 and 1 at exit 1, and 0.5 at the last
    logits = torch.tensor([[0.0] * 4, [1.0, -2, 0.5, 1], [0.5, 0.5, -0.5, 0.5]]).unsqueeze(2)
    table = make_table(logits, torch.zeros(4))
    leaves = Consistency(1, 10)
    assert replay(table, leaves).exit_index.tolist() == [1] * 4
    assert lost(table, leaves, 0.4).tolist() == [True, True, False, True]
    assert lost(table, leaves, 0.6).tolist() == [False, True, False, False]


def test_the_last_policy_before_the_first_failure_is_taken(make_table: Make) -> None:
    # 100 samples, sure to 0.51, 0.52, ... at exit 0; the last exit is always right, exit 0 is
    # wrong where it is sure to 0.60 and to 0.58. Of 100, at most 1 may be lost for 5 % at 90 %.
    assert at_most(1, 100, 0.05) < 0.1 < at_most(2, 100, 0.05)
    p = torch.tensor([0.51 + 0.0049 * i for i in range(100)])
    first = torch.stack([p, 1 - p], dim=1).log()
    wrong = [14, 18]  # 0.5786 and 0.5982
    first[wrong] = first[wrong].flip(1)
    last = torch.tensor([5.0, 0.0]).expand(100, 2)
    table = make_table(torch.stack([first, last]), torch.zeros(100).long())
    family = [Confidence(t / 100) for t in range(99, 49, -1)]
    found = guaranteed_policy(table, 0.05, 0.9, policies=family)
    assert found.policy == Confidence(0.58)
    assert (found.losses, found.samples) == (1, 100)
    # what comes after a failure is not looked at
    family = [Confidence(0.7), Confidence(0.5), Confidence(0.65)]
    assert guaranteed_policy(table, 0.05, 0.9, policies=family).policy == Confidence(0.7)
    assert guaranteed_policy(table, 0.05, 0.9, policies=[Confidence(0.0)]).policy == Full()


@pytest.mark.parametrize("criterion", [Confidence, Consistency])
def test_the_promise_is_kept(criterion, noisy_table: Make) -> None:
    """Calibration sets drawn from a population whose losses are known exactly."""
    population = noisy_table(seed=11, samples=20_000, exits=4)
    probability, trials = 0.8, 200
    family = [Confidence(step / 25) for step in range(25, 0, -1)]
    if criterion is Consistency:
        family = [Consistency(3), Consistency(2), Consistency(1)]
    truth = {policy: lost(population, policy).double().mean().item() for policy in family}
    savings = {policy: replay(population, policy).saving for policy in family}
    truth[Full()] = savings[Full()] = 0.0
    # The hardest case: one of the policies loses hardly more than is allowed.
    max_loss = 0.999 * min(loss for loss in truth.values() if loss > 0.04)
    generator = torch.Generator().manual_seed(0)
    broken, saved = 0, 0.0
    for _ in range(trials):
        rows = torch.randint(len(population), (300,), generator=generator)
        table = replace(
            population,
            logits=population.logits[:, rows],
            targets=population.targets[rows],
            names=tuple(map(str, range(300))),
        )
        policy = guaranteed_policy(table, max_loss, probability, policies=family).policy
        broken += truth[policy] > max_loss
        saved += savings[policy] / trials
    chance = 1 - at_most(broken - 1, trials, 1 - probability) if broken else 1.0
    assert chance > 0.001, (
        f"{broken} of {trials} promises broken, of which {1 - probability} may be"
    )
    best = max(savings[policy] for policy in truth if truth[policy] <= max_loss)
    assert saved > best / 2, "a promise that is kept by never leaving is worth nothing"


@pytest.mark.parametrize(
    ("criterion", "patient", "least"),
    [
        (Confidence, False, 0.20),
        (Margin, False, 0.18),
        (Entropy, False, 0.16),
        (Consistency, False, 0.12),
        (Confidence, True, 0.22),
    ],
)
def test_something_is_saved_on_a_real_net(
    criterion, patient: bool, least: float, everyday64: ExitTable
) -> None:
    found = guaranteed_policy(everyday64, 0.01, criterion=criterion, patient=patient)
    assert at_most(found.losses, 600, 0.01) <= 0.05
    outcome = replay(everyday64, found.policy)
    assert outcome.saving > least
    full = replay(everyday64, Full()).accuracy
    assert outcome.accuracy >= full - found.losses / 600 - 1e-9
    assert isinstance(found.policy, Every if patient else criterion)


def test_more_may_be_lost_for_more_to_be_saved(everyday64: ExitTable) -> None:
    savings = [
        replay(everyday64, guaranteed_policy(everyday64, loss).policy).saving
        for loss in (0.01, 0.02, 0.05, 0.2)
    ]
    assert savings == sorted(savings)
    assert savings[0] < savings[-1]
    surer = guaranteed_policy(everyday64, 0.02, 0.99).policy
    assert replay(everyday64, surer).saving <= savings[1]


def test_regression(noisy_values: Make) -> None:
    table = noisy_values(samples=600)
    found = guaranteed_policy(table, 0.1, criterion=Consistency, tolerance=0.3)
    assert isinstance(found.policy, Consistency)
    assert replay(table, found.policy).saving > 0
    assert found.losses == lost(table, found.policy, 0.3).sum() > 0
    assert at_most(found.losses, 600, 0.1) <= 0.05


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0.009,), {}, "300 images cannot show .* that takes 332"),
        ((0.01, 0.99), {}, "that takes 459"),
        ((0.0,), {}, "max_loss must lie between 0 and 1"),
        ((0.1, 1.0), {}, "probability must lie between 0 and 1"),
        ((0.1,), {"tolerance": 1.0}, "no meaning for classes"),
    ],
)
def test_refusals(arguments, options, message: str, noisy_table: Make) -> None:
    with pytest.raises(ExeuntError, match=message):
        guaranteed_policy(noisy_table(), *arguments, **options)


def test_refusals_of_regression_and_of_the_test_split(noisy_table: Make, noisy_values) -> None:
    with pytest.raises(ExeuntError, match="tolerance, in units of the targets"):
        guaranteed_policy(noisy_values(), 0.1, criterion=Consistency)
    with pytest.raises(ExeuntError, match="tolerance must be a finite number"):
        guaranteed_policy(noisy_values(), 0.1, criterion=Consistency, tolerance=-1.0)
    with pytest.raises(ExeuntError, match="for regression use consistency"):
        guaranteed_policy(noisy_values(), 0.1, tolerance=0.5)
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        guaranteed_policy(replace(noisy_table(), split="test"), 0.1)
