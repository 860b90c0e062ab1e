"""The score that a choice keeps up."""

from __future__ import annotations

from exeunt.evaluate import Outcome


def goodness(outcome: Outcome) -> float:
    """Larger is better: the accuracy, or the negative mean absolute error."""
    if outcome.accuracy is not None:
        return outcome.accuracy
    assert outcome.mae is not None
    return -outcome.mae
