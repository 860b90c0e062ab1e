"""Criteria side by side, against replays of one policy each."""

from __future__ import annotations

import math

import pytest
import torch

from exeunt.evaluate import ExitTable, compare_criteria, replay
from exeunt.policies import Confidence, Consistency, Entropy, Every, Margin


def make_table(outputs: int, split: str = "test") -> ExitTable:
    generator = torch.Generator().manual_seed(outputs)
    logits = torch.randn(4, 50, outputs, generator=generator).cumsum(dim=0)
    return ExitTable(
        logits=logits,
        targets=logits[-1].argmax(dim=1) if outputs > 1 else logits[-1, :, 0],
        task="classification" if outputs > 1 else "regression",
        exit_macs=(1, 2, 3, 4),
        names=tuple(map(str, range(50))),
        split=split,
        weights_fingerprint="",
        data_fingerprint="",
    )


def test_every_criterion_at_its_settings() -> None:
    table = make_table(5)
    compared = compare_criteria(table)
    kinds = {"confidence": Confidence, "entropy": Entropy, "margin": Margin, "patient": Every}
    assert compared.keys() == {*kinds, "consistency"}
    assert [o.policy for o in compared["consistency"]] == [Consistency(k) for k in (1, 2, 3)]
    for criterion, kind in kinds.items():
        assert {type(o.policy) for o in compared[criterion]} == {kind}
        for outcome in compared[criterion]:
            again = replay(table, outcome.policy)
            assert (again.accuracy, again.mean_macs) == (outcome.accuracy, outcome.mean_macs)
    for outcomes in compared.values():
        spent = [outcome.mean_macs for outcome in outcomes]
        assert spent == sorted(spent)
        assert spent[0] < spent[-1]
    nats = [outcome.policy.threshold for outcome in compared["entropy"]]
    assert nats[4] == pytest.approx(math.log(5) / 2)


def test_temperatures_go_into_all_softmaxes() -> None:
    compared = compare_criteria(make_table(3), (2.0, 1.0, 0.5))
    for criterion in ("confidence", "entropy", "margin"):
        assert {outcome.policy.temperature for outcome in compared[criterion]} == {(2.0, 1.0, 0.5)}


def test_regression_has_consistency_alone() -> None:
    compared = compare_criteria(make_table(1))
    assert list(compared) == ["consistency"]
    assert {outcome.policy.k for outcome in compared["consistency"]} == {1, 2, 3}
    assert all(outcome.mae is not None for outcome in compared["consistency"])
