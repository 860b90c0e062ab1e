"""One answer for all samples, by hand."""

from __future__ import annotations

import torch

from exeunt.evaluate import ExitTable, baseline


def make_table(targets: torch.Tensor, outputs: int) -> ExitTable:
    return ExitTable(
        logits=torch.zeros(2, len(targets), outputs),
        targets=targets,
        task="regression" if outputs == 1 else "classification",
        exit_macs=(1, 2),
        names=tuple(map(str, range(len(targets)))),
        split="test",
        weights_fingerprint="w",
        data_fingerprint="d",
    )


def test_the_commonest_class() -> None:
    found = baseline(make_table(torch.tensor([2, 0, 2, 1, 2]), 4))
    assert (found.answer, found.accuracy, found.mae) == (2, 0.6, None)
    assert found.describe(["a", "b", "c", "d"]) == "always 'c' scores 60.0 %"
    assert found.describe() == "always class 2 scores 60.0 %"


def test_the_median_value() -> None:
    found = baseline(make_table(torch.tensor([1.0, 2.0, 10.0]), 1))
    assert (found.answer, found.accuracy, found.mae) == (2.0, None, 3.0)
    assert found.describe() == "always 2 has an error of 3"
