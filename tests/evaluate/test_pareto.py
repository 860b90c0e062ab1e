"""The few policies that differ, of all that were tried."""

from __future__ import annotations

from itertools import pairwise

import torch

from exeunt.evaluate import ExitTable, default_policies, pareto_outcomes, sweep
from exeunt.policies import Confidence, Full


def make_table() -> ExitTable:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(4, (500,), generator=generator)
    sharpness = torch.linspace(0.5, 3, 5).view(-1, 1, 1)
    noise = torch.randn(5, 500, 4, generator=generator)
    return ExitTable(
        logits=noise + sharpness * torch.nn.functional.one_hot(targets, 4),
        targets=targets,
        task="classification",
        exit_macs=(10, 20, 30, 40, 50),
        names=tuple(map(str, range(500))),
        split="test",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def test_few_are_told_and_none_of_them_is_beaten() -> None:
    table = make_table()
    outcomes = sweep(table, default_policies(table))
    told = pareto_outcomes(outcomes, [Full()])
    assert 3 <= len(told) <= 10 < len(outcomes)
    assert told[0].policy == Full()
    for one in told[1:]:
        assert one.accuracy is not None
        for other in outcomes:
            assert other.accuracy is not None
            better = other.accuracy >= one.accuracy and other.mean_macs <= one.mean_macs
            assert not better or (other.accuracy, other.mean_macs) == (one.accuracy, one.mean_macs)
    savings = sorted(outcome.saving for outcome in told)
    assert all(b - a >= 0.05 for a, b in pairwise(savings))


def test_what_is_kept_is_told_whatever_it_does() -> None:
    table = make_table()
    poor = Confidence(0.26)  # all leave at the first exit, as by the next
    outcomes = sweep(table, [Full(), Confidence(0.25), poor])
    assert [one.policy for one in pareto_outcomes(outcomes, [poor])] == [Full(), poor]
    assert len(pareto_outcomes(outcomes)) == 2
