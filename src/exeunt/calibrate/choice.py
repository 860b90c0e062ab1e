"""Choosing a policy on held-out samples: the largest saving that keeps the accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from exeunt.calibrate.budget import exit_costs
from exeunt.calibrate.criteria import Criterion
from exeunt.calibrate.held_out import refuse_test
from exeunt.calibrate.levels import FOLDS, best_levels, cross_validated
from exeunt.calibrate.score import goodness
from exeunt.calibrate.sureness import cut, rightness, sureness
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, Outcome, replay, sweep
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Every,
    Full,
    PerExit,
    Policy,
    Threshold,
)

_HALVINGS = 8


def choose_policy(
    table: ExitTable,
    *,
    tolerance: float = 0.005,
    criterion: Criterion | None = None,
    patient: bool = False,
    temperature: PerExit = 1.0,
    per_exit: bool = True,
) -> Outcome:
    """Finds the policy that spends least among those about as good as the last exit.

    Classification: its accuracy on this table is at least that of the last exit minus
    `tolerance`. Regression: its mean absolute error is at most that of the last exit plus
    `tolerance` times the standard deviation of the targets. Ties go to the better score, then to
    the simpler policy; where nothing saves, the answer is `Full()`.

    Many settings are tried that are one for all exits: counts, confidences and entropies. Then
    exits get thresholds of their own, if these save more. These are the best of a budget, and it
    is the least at which samples stay right by thresholds that other samples chose
    (cross-validation): so many numbers fit the samples that they are chosen on better than others.
    Where the tolerance is less than one sample, one threshold is all that so few can tell.

    Args:
        table: Recorded on a split that is not the test split.
        tolerance: What may be lost, 0.005 being half a percentage point of accuracy.
        criterion: Only policies of this kind are tried.
        patient: Thresholds are joined with every `Consistency(k)`, and are one for all exits.
        temperature: Of the softmax, one for all exits, or one for each.
        per_exit: Whether exits may have thresholds of their own.

    Raises:
        ExeuntError: The table is of the test split or has not what the criterion reads, or the
            tolerance is negative.
    """
    refuse_test(table)
    if not 0 <= tolerance < math.inf:
        raise ExeuntError(f"tolerance must be a finite number >= 0, got {tolerance}")
    full = replay(table, Full())
    in_samples = tolerance * len(table)
    if table.task == "regression":
        tolerance *= table.targets.double().std(correction=0).item()
    floor = goodness(full) - tolerance

    def good_enough(outcome: Outcome) -> bool:
        return goodness(outcome) >= floor or math.isclose(goodness(outcome), floor)

    tried = sweep(table, _candidates(table, criterion, patient, temperature))
    found = max([full, *filter(good_enough, tried)], key=_rank)
    kind = criterion or Confidence
    few = in_samples < 1 or len(table) < FOLDS or table.num_exits == 1
    if table.task == "regression" or patient or few or not per_exit:
        return found
    if not issubclass(kind, Threshold):
        return found
    more = _per_exit(table, kind, temperature, floor, found.mean_macs)
    return max([found, *filter(good_enough, more)], key=_rank)


def _rank(outcome: Outcome) -> tuple[float, float]:
    return outcome.saving, goodness(outcome)


def _per_exit(
    table: ExitTable,
    criterion: type[Threshold],
    temperature: PerExit,
    floor: float,
    budget: float,
) -> Iterator[Outcome]:
    """What thresholds do at the least budget at which others are right often enough, found by
    bisection, if that is below the one given.
    """
    sure, right = sureness(table, criterion, temperature), rightness(table)
    costs = exit_costs(table, None)
    accuracy = cross_validated(sure, right, costs)
    least, most = float(costs[0]), budget
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if accuracy(middle) >= floor:
            most = middle
        else:
            least = middle
    if most < budget:
        yield replay(table, cut(criterion, best_levels(sure, right, costs)(most), temperature))


def _candidates(
    table: ExitTable, criterion: Criterion | None, patient: bool, temperature: PerExit
) -> list[Policy]:
    """All policies that are tried, the simplest first."""
    counts = range(1, table.num_exits)
    if table.task == "regression" and criterion in (None, Consistency):
        spread = table.logits[-1].std(correction=0).item()
        etas = [spread * 2 ** (-step / 2) for step in range(20) if spread > 0]
        return [Consistency(k, eta) for k in counts for eta in etas]
    if isinstance(temperature, tuple):
        temperature = temperature[: table.num_exits - 1]
    most_nats = math.log(max(table.logits.shape[2], 2))
    thresholds: list[Threshold] = []
    for kind in (Confidence, Entropy) if criterion is None else (criterion,):
        if issubclass(kind, Entropy):
            thresholds += [kind(most_nats * 2 ** (-step / 4), temperature) for step in range(1, 41)]
        elif issubclass(kind, Threshold):
            shares = [*(step / 50 for step in range(1, 50)), 0.99, 0.995, 0.999]
            thresholds += [kind(share, temperature) for share in shares]
    if patient:
        return [Every((Consistency(k), threshold)) for k in counts for threshold in thresholds]
    alone = [Consistency(k) for k in counts] if criterion in (None, Consistency) else []
    return [*alone, *thresholds]
