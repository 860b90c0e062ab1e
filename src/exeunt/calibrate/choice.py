"""Choosing a policy on held-out samples: the largest saving that keeps the accuracy."""

from __future__ import annotations

import math

from exeunt.calibrate.held_out import refuse_test
from exeunt.calibrate.score import goodness
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, Outcome, replay, sweep
from exeunt.policies import Confidence, Consistency, Entropy, Full, Policy


def choose_policy(table: ExitTable, *, tolerance: float = 0.005) -> Outcome:
    """Finds the policy that spends least among those about as good as the last exit.

    Classification: its accuracy on this table is at least that of the last exit minus
    `tolerance`. Regression: its mean absolute error is at most that of the last exit plus
    `tolerance` times the standard deviation of the targets. Ties go to the better score, then to
    the simpler policy; where nothing saves, the answer is `Full()`.

    Args:
        table: Recorded on a split that is not the test split.
        tolerance: What may be lost, 0.005 being half a percentage point of accuracy.

    Raises:
        ExeuntError: The table is of the test split, or the tolerance is negative.
    """
    refuse_test(table)
    if not 0 <= tolerance < math.inf:
        raise ExeuntError(f"tolerance must be a finite number >= 0, got {tolerance}")
    full = replay(table, Full())
    if table.task == "regression":
        tolerance *= table.targets.double().std(correction=0).item()
    floor = goodness(full) - tolerance
    good_enough = [
        outcome
        for outcome in sweep(table, _candidates(table))
        if goodness(outcome) >= floor or math.isclose(goodness(outcome), floor)
    ]
    return max([full, *good_enough], key=lambda outcome: (outcome.saving, goodness(outcome)))


def _candidates(table: ExitTable) -> list[Policy]:
    """All policies that are tried, the simplest first."""
    counts = range(1, table.num_exits)
    if table.task == "regression":
        spread = table.logits[-1].std(correction=0).item()
        etas = [spread * 2 ** (-step / 2) for step in range(20) if spread > 0]
        return [Consistency(k, eta) for k in counts for eta in etas]
    most_nats = math.log(table.logits.shape[2])
    return [
        *(Consistency(k) for k in counts),
        *(Confidence(step / 50) for step in range(1, 50)),
        *(Confidence(threshold) for threshold in (0.99, 0.995, 0.999)),
        *(Entropy(most_nats * 2 ** (-step / 4)) for step in range(1, 41)),
    ]
