"""Policies to look at when none was asked for."""

from __future__ import annotations

import math

from exeunt.evaluate.table import ExitTable
from exeunt.policies import Confidence, Consistency, Entropy, Every, Full, Margin, Policy


def default_policies(table: ExitTable) -> list[Policy]:
    """A list of policies worth looking at on this table, the full net first: by agreement of exits,
    by confidence, margin and entropy, and by agreement and confidence both.

    Thresholds of entropy are fractions of ln K, its largest value; tolerances of regression are
    fractions of the standard deviation of the last exit's outputs.
    """
    counts = range(1, table.num_exits)
    if table.task == "regression":
        spread = table.logits[-1].std(correction=0).item()
        etas = [fraction * spread for fraction in (0.02, 0.05, 0.1, 0.2, 0.5) if spread > 0]
        return [Full(), *(Consistency(k, eta) for k in counts for eta in etas)]
    most_nats = math.log(table.logits.shape[2])
    return [
        Full(),
        *(Consistency(k) for k in counts),
        *(Confidence(threshold) for threshold in (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)),
        *(Margin(threshold) for threshold in (0.1, 0.3, 0.5, 0.7, 0.9)),
        *(Entropy(fraction * most_nats) for fraction in (0.05, 0.1, 0.2, 0.4)),
        *(
            Every((Consistency(1), Confidence(threshold)))
            for threshold in (0.3, 0.5, 0.7, 0.9)
            if table.num_exits > 2
        ),
    ]
