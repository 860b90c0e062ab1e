"""Which samples are hard, and which are easy."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from exeunt.evaluate.overthinking import settling_exits
from exeunt.evaluate.table import ExitTable


@dataclass(frozen=True)
class RatedSample:
    """A sample and how hard it is.

    Attributes:
        index: Its row in the table.
        name: Its name there.
        target: Its class index, or its value.
        settled: The first exit from which the prediction stays right, counted from 0; None where
            the last exit is wrong, and for regression.
        probability: Softmax probability of its class, averaged over the exits; None for regression.
        error: Absolute error of the last exit; None for classification.
    """

    index: int
    name: str
    target: float
    settled: int | None = None
    probability: float | None = None
    error: float | None = None


def easiest(table: ExitTable, count: int = 10) -> list[RatedSample]:
    """The easiest samples, the easiest first: right from the earliest exit on, and among those of
    the same exit the ones whose class is the most probable, averaged over the exits. In regression,
    those with the smallest error at the last exit. What is still equal keeps its order.
    """
    return _rated(table, _easiest_first(table)[:count])


def hardest(table: ExitTable, count: int = 10) -> list[RatedSample]:
    """The hardest samples, the hardest first; in every way the other end of `easiest`."""
    return _rated(table, _easiest_first(table).flip(0)[:count])


def _easiest_first(table: ExitTable) -> Tensor:
    if table.task == "regression":
        return _errors(table).argsort(stable=True)
    by_probability = _probabilities(table).argsort(descending=True, stable=True)
    return by_probability[settling_exits(table)[by_probability].argsort(stable=True)]


def _rated(table: ExitTable, rows: Tensor) -> list[RatedSample]:
    if table.task == "regression":
        errors = _errors(table)
        return [
            RatedSample(row, table.names[row], table.targets[row].item(), error=errors[row].item())
            for row in rows.tolist()
        ]
    settled, probabilities = settling_exits(table), _probabilities(table)
    return [
        RatedSample(
            row,
            table.names[row],
            int(table.targets[row]),
            settled=int(settled[row]) if settled[row] < table.num_exits else None,
            probability=probabilities[row].item(),
        )
        for row in rows.tolist()
    ]


def _probabilities(table: ExitTable) -> Tensor:
    """Of the true class, averaged over the exits (N, float64)."""
    total = torch.zeros(len(table), dtype=torch.float64)
    for k in range(table.num_exits):
        logits = table.of_exit(k)
        total += (-cross_entropy(logits.float(), table.targets, reduction="none")).exp()
    return total / table.num_exits


def _errors(table: ExitTable) -> Tensor:
    return (table.of_exit(table.num_exits - 1)[:, 0].double() - table.targets.double()).abs()
