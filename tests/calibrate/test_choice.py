"""The chosen policy, against tables small enough to see the answer, and a brute-force search."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.calibrate import choose_policy, optimised_policy
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, Outcome, paired, replay
from exeunt.policies import Confidence, Consistency, Entropy, Full


def make_table(logits: Tensor, targets: Tensor) -> ExitTable:
    return ExitTable(
        logits=logits,
        targets=targets,
        task="regression" if logits.shape[2] == 1 else "classification",
        exit_macs=tuple(10 * (k + 1) for k in range(len(logits))),
        names=tuple(str(row) for row in range(len(targets))),
        split="calibration",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def noisy_table(seed: int, classes: int = 4, samples: int = 200) -> ExitTable:
    """Exits that get better and more certain with depth."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (samples,), generator=generator)
    noise = torch.randn(5, samples, classes, generator=generator)
    sharpness = torch.linspace(0.5, 3, 5).view(-1, 1, 1)
    return make_table(noise + sharpness * nn.functional.one_hot(targets, classes), targets)


def most_saving(table: ExitTable, **settings: Any) -> Outcome:
    """What saves most within the tolerance, however few samples there are."""
    return choose_policy(table, margin=math.inf, **settings).outcome


def similar_exits(seed: int, samples: int, apart: float) -> ExitTable:
    """Exits that err on other samples each; the first is a little worse, by `apart`."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(4, (samples,), generator=generator)
    common = torch.randn(1, samples, 4, generator=generator)
    own = 0.6 * torch.randn(3, samples, 4, generator=generator)
    sharpness = torch.tensor([2 - apart, 2 - apart / 2, 2.0]).view(-1, 1, 1)
    return make_table(sharpness * nn.functional.one_hot(targets, 4) + common + own, targets)


def test_first_exit_as_good_as_the_last_is_taken() -> None:
    targets = torch.tensor([0, 1, 2, 0])
    logits = 5 * nn.functional.one_hot(targets, 3).float().expand(4, -1, -1)
    outcome = most_saving(make_table(logits, targets))
    assert outcome.accuracy == 1.0
    assert outcome.exit_shares == (1.0, 0.0, 0.0, 0.0)
    assert outcome.policy == Confidence(0.02)  # the first of many that do the same


def test_full_when_every_early_exit_is_wrong() -> None:
    targets = torch.zeros(6, dtype=torch.int64)
    wrong = 5 * nn.functional.one_hot(torch.tensor([1, 2] * 3), 3).float()
    right = 5 * nn.functional.one_hot(targets, 3).float()
    outcome = most_saving(make_table(torch.stack([wrong, wrong, right]), targets))
    assert outcome.policy == Full()
    assert outcome.saving == 0


def test_full_when_there_is_one_exit() -> None:
    assert most_saving(make_table(torch.randn(1, 5, 3), torch.zeros(5).long())).policy == Full()


def test_patience_wins_where_confidence_misleads() -> None:
    # Wrong at exit 0 with certainty, right with doubt from exit 1 on: only CBEE leaves at exit 2.
    targets = torch.tensor([0, 1] * 5)
    right = nn.functional.one_hot(targets, 2).float()
    logits = torch.stack([20 * (1 - right), 0.1 * right, 0.1 * right, 0.1 * right])
    outcome = most_saving(make_table(logits, targets))
    assert outcome.policy == Consistency(1)
    assert outcome.exit_index.tolist() == [2] * 10


def test_entropy_wins_where_the_largest_probability_tells_nothing_apart() -> None:
    # Both 0.6 sure at exit 0, with 0.67 and 0.95 nats; only the first is right there.
    first = torch.tensor([[0.6, 0.4, 1e-9], [0.6, 0.2, 0.2]]).log()
    last = torch.tensor([[5.0, 0, 0], [0, 5.0, 0]])
    outcome = most_saving(make_table(torch.stack([first, last]), torch.tensor([0, 1])))
    assert isinstance(outcome.policy, Entropy)
    assert 0.674 < outcome.policy.threshold < 0.950
    assert outcome.exit_index.tolist() == [0, 1]


def test_equal_saving_goes_to_the_better_score() -> None:
    # At exit 1, patience lets sample 0 go, which is wrong there; confidence lets sample 1 go,
    # which is right. Each saves one exit on one sample. Exit 0 is wrong on both.
    first = torch.tensor([[0.4, 0.6], [0.4, 0.6]]).log()
    second = torch.tensor([[0.45, 0.55], [0.99, 0.01]]).log()
    last = torch.tensor([[0.9, 0.1], [0.9, 0.1]]).log()
    table = make_table(torch.stack([first, second, last]), torch.zeros(2).long())
    outcome = most_saving(table, tolerance=0.5, per_exit=False)
    assert replay(table, Consistency(1)).saving == outcome.saving
    assert replay(table, Consistency(1)).accuracy == 0.5
    assert isinstance(outcome.policy, Confidence)
    assert outcome.exit_index.tolist() == [2, 1]
    assert outcome.accuracy == 1.0


@pytest.mark.parametrize("tolerance", [0.0, 0.005, 0.05, 0.2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_on_a_coarse_grid_saves_more(seed: int, tolerance: float) -> None:
    table = noisy_table(seed)
    floor = replay(table, Full()).accuracy - tolerance - 1e-9
    chosen = most_saving(table, tolerance=tolerance)
    assert chosen.accuracy >= floor
    grid = [Consistency(k) for k in range(1, 5)] + [Confidence(step / 50) for step in range(1, 50)]
    outcomes = [replay(table, policy) for policy in grid]
    assert chosen.saving >= max(o.saving for o in outcomes if o.accuracy >= floor)
    assert isinstance(chosen.policy, Full | Consistency | Confidence | Entropy)


@pytest.mark.parametrize("tolerance", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_thresholds_for_each_exit_save_no_less(seed: int, tolerance: float) -> None:
    table = noisy_table(seed)
    chosen, one = (
        most_saving(table, tolerance=tolerance, criterion=Confidence, per_exit=each)
        for each in (True, False)
    )
    assert isinstance(one.policy, Full | Confidence)
    assert chosen.saving >= one.saving
    assert chosen.accuracy >= replay(table, Full()).accuracy - tolerance - 1e-9


def test_what_is_lost_on_other_samples() -> None:
    """400 samples choose, 20,000 judge: about what may be lost, and less than by thresholds that
    the same samples chose and judged.
    """
    lost: dict[str, list[float]] = {"chosen": [], "fitted": []}
    for seed in range(6):
        held_out, others = noisy_table(seed, samples=400), noisy_table(100 + seed, samples=20_000)
        chosen = most_saving(held_out, tolerance=0.02, criterion=Confidence)
        floor = replay(held_out, Full()).accuracy - 0.02
        fitted = (optimised_policy(held_out, budget) for budget in range(11, 50))
        eager = next(policy for policy in fitted if replay(held_out, policy).accuracy >= floor)
        for name, policy in (("chosen", chosen.policy), ("fitted", eager)):
            full, outcome = replay(others, Full()), replay(others, policy)
            lost[name].append(full.accuracy - outcome.accuracy)
    chosen_loss, fitted_loss = (sum(losses) / 6 for losses in lost.values())
    assert 0 < chosen_loss < 0.03
    assert chosen_loss < 0.75 * fitted_loss


def test_one_threshold_where_no_sample_may_be_lost() -> None:
    table = noisy_table(0)
    thresholds = [
        most_saving(table, tolerance=share, criterion=Confidence).policy for share in (0.0049, 0.05)
    ]
    for policy, kind in zip(thresholds, (float, tuple), strict=True):
        assert isinstance(policy, Confidence)
        assert isinstance(policy.threshold, kind)


def test_tolerance_may_be_used_up_whole() -> None:
    # 7 of 10 right at the first exit, 8 at the last; in floats 0.8 - 0.1 is a little above 0.7.
    assert 0.8 - 0.1 > 0.7
    right = 5 * nn.functional.one_hot(torch.zeros(10).long(), 2).float()
    first, last = right.clone(), right.clone()
    first[:3] = last[:2] = torch.tensor([0.0, 5.0])
    table = make_table(torch.stack([first, last]), torch.zeros(10).long())
    assert most_saving(table, tolerance=0.1).exit_shares == (1.0, 0.0)
    assert most_saving(table, tolerance=0.0999).policy == Full()


def test_regression_stays_within_its_error() -> None:
    generator = torch.Generator().manual_seed(3)
    targets = torch.randn(300, generator=generator)
    noise = torch.randn(6, 300, generator=generator)
    scale = torch.tensor([1.0, 0.5, 0.1, 0.1, 0.1, 0.1]).view(6, 1)
    table = make_table((targets + scale * noise).unsqueeze(2), targets)
    worst = replay(table, Full()).mae + 0.05 * targets.std(correction=0).item()
    outcome = most_saving(table, tolerance=0.05)
    assert isinstance(outcome.policy, Consistency)
    assert outcome.policy.eta is not None
    assert outcome.mae <= worst + 1e-6
    assert outcome.saving > 0
    for eta in (0.1, 0.2, 0.4):  # not on the grid, so they may be a little better
        other = replay(table, Consistency(1, eta))
        assert other.saving <= outcome.saving + 0.05 or other.mae > worst


def test_constant_regression_needs_no_eta() -> None:
    table = make_table(torch.ones(3, 4, 1), torch.ones(4))
    assert most_saving(table).policy == Full()


def test_the_test_split_is_refused() -> None:
    with pytest.raises(ExeuntError, match="never chosen on the test split"):
        choose_policy(replace(noisy_table(0), split="test"))


@pytest.mark.parametrize("tolerance", [-0.01, float("nan"), float("inf")])
def test_a_senseless_tolerance_is_refused(tolerance: float) -> None:
    with pytest.raises(ExeuntError, match="tolerance must be"):
        choose_policy(noisy_table(0), tolerance=tolerance)


@pytest.mark.parametrize("margin", [-0.01, float("nan")])
def test_a_senseless_margin_is_refused(margin: float) -> None:
    with pytest.raises(ExeuntError, match="margin must be"):
        choose_policy(noisy_table(0), margin=margin)


@pytest.mark.parametrize("samples", [3, 30, 111])
def test_few_samples_choose_nothing(samples: int) -> None:
    """By what they show alone, half of such choices lose more than the margin on others."""
    others = similar_exits(99, 10_000, 0.4)
    full = replay(others, Full()).accuracy
    too_much: list[float] = []
    for seed in range(12):
        choice = choose_policy(similar_exits(seed, samples, 0.4), criterion=Confidence)
        assert choice.policy == Full()
        too_much.append(full - replay(others, choice.best.policy).accuracy > choice.margin)
    assert sum(too_much) >= 3


@pytest.mark.parametrize("apart", [0.2, 1.0])
def test_what_is_stored_loses_no_more_than_the_margin(apart: float) -> None:
    others = similar_exits(99, 10_000, apart)
    full, saved = replay(others, Full()).accuracy, 0
    for seed in range(5):
        choice = choose_policy(similar_exits(seed, 400, apart), criterion=Confidence)
        outcome = replay(others, choice.policy)
        assert full - outcome.accuracy < 0.02
        saved += outcome.saving > 0.05
    assert saved >= 4  # safe, and not for want of leaving early


def test_many_samples_choose_what_saves_most() -> None:
    table = similar_exits(0, 4000, 0.4)
    choice = choose_policy(table, criterion=Confidence)
    assert choice.shown
    assert choice.policy == most_saving(table, criterion=Confidence).policy
    taken, full = (
        outcome.predictions == table.targets for outcome in (choice.outcome, choice.full)
    )
    won, lost = int((taken & ~full).sum()), int((full & ~taken).sum())
    assert choice.interval == paired(won, lost, 4000)
    assert choice.interval[0] >= -0.02


def test_thresholds_of_the_net_that_ships_are_shown(everyday64: ExitTable) -> None:
    many = replace(
        everyday64,
        logits=everyday64.logits.repeat(1, 5, 1),
        targets=everyday64.targets.repeat(5),
        names=everyday64.names * 5,
    )
    assert choose_policy(many, criterion=Confidence, per_exit=False).shown
    few = choose_policy(everyday64, criterion=Confidence, per_exit=False)
    assert not few.shown
    assert 0 < few.outcome.saving < few.best.saving  # the guarantee's choice


def test_a_choice_that_shows_nothing_says_so() -> None:
    targets = torch.tensor([0, 1, 2] * 37)
    right = 5 * nn.functional.one_hot(targets, 3).float()
    choice = choose_policy(make_table(right.expand(3, -1, -1), targets))
    low, high = paired(0, 0, 111)
    assert choice.policy == Full()
    assert str(choice) == (
        "111 calibration images cannot tell the exits apart. Most would be saved if everybody "
        f"leaves at exit 1 (+0.0 points against exit 3 on 111 calibration images, 95 %: "
        f"{100 * low:+.1f} to {100 * high:+.1f} points), and that may lose more than 2 points. "
        "Stored is what is safe: nobody leaves early. Hold out more images, of which about 170 "
        "may be enough, or choose by what may be spent"
    )
    assert low == pytest.approx(-1.959964 * math.sqrt(2 / 113 / 113))


def test_errors_need_thirty_values() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(400, generator=generator)
    values = targets + 0.01 * torch.randn(3, 400, generator=generator)
    few, many = (
        choose_policy(make_table(values[:, :count, None], targets[:count])) for count in (29, 400)
    )
    assert few.policy == Full()
    assert few.best.saving > 0
    assert "cannot tell" in str(few)
    assert many.shown
    assert many.outcome.saving > 0
