"""Of many policies, the few that differ."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from exeunt.evaluate.replay import Outcome
from exeunt.policies import Policy

_APART = 0.05  # of the whole net's cost


def pareto_outcomes(outcomes: Sequence[Outcome], kept: Collection[Policy] = ()) -> list[Outcome]:
    """The outcomes that no other beats, each at least 5 % of the whole net's cost from the next.

    One beats another that costs no less and is right no more often. The rest of the outcomes tell
    nothing that these do not. They come in the order given, with those of the policies `kept`.

    Args:
        outcomes: Of one table.
        kept: Policies that stay whatever they do.
    """
    chosen = [k for k, outcome in enumerate(outcomes) if outcome.policy in kept]
    best = None
    for k in sorted(
        range(len(outcomes)), key=lambda k: (outcomes[k].mean_macs, -outcomes[k].score)
    ):
        score, saving = outcomes[k].score, outcomes[k].saving
        if best is not None and score <= best:
            continue
        best = score
        if all(abs(outcomes[other].saving - saving) >= _APART for other in chosen):
            chosen.append(k)
    return [outcomes[k] for k in sorted(set(chosen))]
