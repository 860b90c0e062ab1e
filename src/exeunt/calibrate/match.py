"""The policy that does to other logits what one does to these."""

from __future__ import annotations

import math
from dataclasses import replace

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable
from exeunt.policies import Every, Policy, Threshold


def match_policy(policy: Policy, table: ExitTable, other: ExitTable) -> Policy:
    """Moves thresholds so that at every exit as many images reach them as before.

    Quantised logits are not the same numbers, and a threshold that was chosen on the one says
    little about the other. Counts of agreement stay as they are.

    Args:
        policy: chosen for what `table` holds.
        table: what the policy was chosen for, N samples.
        other: of the same samples, what it is wanted for.

    Raises:
        ExeuntError: the tables are not of the same samples.
    """
    if table.names != other.names or table.num_exits != other.num_exits:
        raise ExeuntError(
            f"a policy is matched on the same samples and exits: {table!r} and {other!r}"
        )
    if isinstance(policy, Every):
        parts = [match_policy(part, table, other) for part in policy.parts]
        return Every(tuple(parts))  # type: ignore[arg-type]
    if not isinstance(policy, Threshold):
        return policy
    thresholds = [_matched(policy, k, table, other) for k in range(table.num_exits - 1)]
    return replace(policy, threshold=tuple(thresholds))


def _matched(policy: Threshold, exit_index: int, table: ExitTable, other: ExitTable) -> float:
    """The threshold of one exit that as many of the other's readings reach."""
    (reading,) = policy.readings(exit_index)
    leaves, _ = policy.decide(exit_index, (table.read(reading, exit_index),), ())
    wanted = int(leaves.sum())
    if wanted == 0:
        return policy.never
    largest_first = policy.sign == ">="
    values = other.read(reading, exit_index).double().sort(descending=largest_first).values
    last = float(values[wanted - 1])
    if wanted == len(values):
        return last if math.isfinite(last) else policy.never
    return (
        min(1.0, (last + float(values[wanted])) / 2)
        if largest_first
        else (last + float(values[wanted])) / 2
    )
