"""What networks get right, beside what they take."""

from __future__ import annotations

from dataclasses import dataclass

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, exit_rows, replay
from exeunt.policies import Consistency, Policy
from exeunt.profile import Shares

COUNTS = (1, 2, 3, 4)
"""Agreements in a row that are tried: those of Figure 4 of the ReX paper."""


@dataclass(frozen=True)
class Score:
    """Of one network, in one type of number.

    Attributes:
        accuracy: of its policy, 0 to 1.
        mean_macs: multiply-adds of an image by its policy.
        shares: where images leave by it.
        exits: accuracy of each exit alone (E).
        counts: by agreements in a row, accuracy and where images leave; empty for one exit.
    """

    accuracy: float
    mean_macs: float
    shares: Shares
    exits: tuple[float, ...]
    counts: dict[int, tuple[float, tuple[float, ...]]]

    @classmethod
    def of(cls, table: ExitTable, policy: Policy) -> Score:
        """What a policy reaches on recorded logits.

        Raises:
            ExeuntError: they are of a regression.
        """
        outcome = replay(table, policy)
        if outcome.accuracy is None:
            raise ExeuntError("accuracy is for classes, and these images have values")
        counts = {}
        for k in COUNTS if table.num_exits > 1 else ():
            found = replay(table, Consistency(k))
            assert found.accuracy is not None
            counts[k] = found.accuracy, found.exit_shares
        return cls(
            outcome.accuracy,
            outcome.mean_macs,
            Shares(policy.spec, len(table), outcome.exit_shares),
            tuple(row.accuracy or 0.0 for row in exit_rows(table)),
            counts,
        )
