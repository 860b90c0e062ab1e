"""What every exit is worth on its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from exeunt.evaluate.scores import scores_of, top_accuracy
from exeunt.evaluate.table import ExitTable
from exeunt.policies import TopProbability


@dataclass(frozen=True)
class ExitRow:
    """One exit of a table, as if every sample took it.

    Attributes:
        index: The exit, counted from 0.
        macs: Multiply-adds up to and including this exit.
        accuracy: Share of samples right at this exit, 0 to 1; None for regression.
        accuracy_top5: Share whose class is among the five likeliest at this exit; None where there
            are no more than five.
        oracle: Share right at this exit or any earlier one, which no policy can promise: the ReX
            paper calls it cumulative accuracy. None for regression.
        mean_confidence: Mean of the largest softmax probability; None for regression.
        mae: Mean absolute error; None for classification.
        rmse: Root mean squared error; None for classification.
    """

    index: int
    macs: int
    accuracy: float | None = None
    accuracy_top5: float | None = None
    oracle: float | None = None
    mean_confidence: float | None = None
    mae: float | None = None
    rmse: float | None = None


def exit_rows(table: ExitTable) -> list[ExitRow]:
    """What every exit is worth on its own, from the first to the last."""
    rows = []
    right_so_far = torch.zeros(len(table), dtype=torch.bool)
    for index, macs in enumerate(table.exit_macs):
        predictions = table.predictions(index)
        scores = scores_of(table.task, predictions, table.targets)
        if table.task == "classification":
            if table.logits.shape[2] > 5:
                scores["accuracy_top5"] = top_accuracy(table.of_exit(index), table.targets, 5)
            right_so_far = right_so_far | (predictions == table.targets)
            scores["oracle"] = right_so_far.double().mean().item()
            scores["mean_confidence"] = table.read(TopProbability(), index).double().mean().item()
        rows.append(ExitRow(index, macs, **scores))
    return rows
