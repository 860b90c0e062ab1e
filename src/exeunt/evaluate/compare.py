"""Criteria side by side, each at a range of settings."""

from __future__ import annotations

import math

from exeunt.evaluate.default_policies import default_policies
from exeunt.evaluate.replay import Outcome, sweep
from exeunt.evaluate.table import ExitTable
from exeunt.policies import Confidence, Consistency, Entropy, Every, Full, Margin, PerExit, Policy

_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def compare_criteria(table: ExitTable, temperature: PerExit = 1.0) -> dict[str, list[Outcome]]:
    """Replays every criterion at a range of settings, from eager to cautious.

    The comparison of table 3 of the ReX paper, `confidence`, `entropy` and `consistency`, and
    beside them `margin` and `patient`, which is one agreement and confidence. For regression there
    is `consistency` alone. Settings do not depend on the targets, so any split may be compared;
    thresholds of entropy are shares of ln K, its largest value.

    Args:
        table: The logits.
        temperature: Of the softmax, one for all exits, or one for each but the last.
    """
    policies: dict[str, list[Policy]]
    if table.task == "regression":
        policies = {"consistency": [p for p in default_policies(table) if p != Full()]}
    else:
        most_nats = math.log(table.logits.shape[2])
        policies = {
            "confidence": [Confidence(share, temperature) for share in _SHARES],
            "entropy": [Entropy((1 - share) * most_nats, temperature) for share in _SHARES],
            "consistency": [Consistency(k) for k in range(1, table.num_exits)],
            "margin": [Margin(share, temperature) for share in _SHARES],
            "patient": [
                Every((Consistency(1), Confidence(share, temperature))) for share in _SHARES
            ],
        }
    return {criterion: sweep(table, settings) for criterion, settings in policies.items()}
