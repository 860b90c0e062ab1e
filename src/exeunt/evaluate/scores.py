"""How right outputs are."""

from __future__ import annotations

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate.table import ExitTable, Task


def scores_of(task: Task, predictions: Tensor, targets: Tensor) -> dict[str, float]:
    """Scores of predictions (N,) against targets (N,), under the names of `Outcome`'s fields."""
    if task == "classification":
        return {"accuracy": (predictions == targets).double().mean().item()}
    error = predictions.double() - targets.double()
    return {"mae": error.abs().mean().item(), "rmse": error.square().mean().sqrt().item()}


def top_accuracy(logits: Tensor, targets: Tensor, count: int) -> float:
    """Share of samples whose class is among the `count` largest logits (N K).

    Of equal logits the first counts as the larger, as for the prediction itself.
    """
    true = logits.gather(1, targets[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
    rank = ((logits > true) | ((logits == true) & before)).sum(dim=1)
    return (rank < count).double().mean().item()


def predicted_classes(table: ExitTable) -> Tensor:
    """What every exit predicts (E N).

    Raises:
        ExeuntError: The table is of a regression.
    """
    if table.task != "classification":
        raise ExeuntError(
            f"a table of {table.task} predicts values and not classes; "
            "classes are needed for what was asked"
        )
    return table.all_predictions


def right_classes(table: ExitTable) -> Tensor:
    """Where every exit is right (E N, bool).

    Raises:
        ExeuntError: The table is of a regression.
    """
    return predicted_classes(table) == table.targets


def sample_scores(table: ExitTable, exit_index: int | Tensor) -> Tensor:
    """What the samples of a table contribute to its score, at the exit that all take or that each
    takes (N,): 1 where it is right and 0 where not, or the absolute error (N, float64).
    """
    said = table.all_predictions
    predictions = said[torch.as_tensor(exit_index), torch.arange(len(table))]
    if table.task == "classification":
        return (predictions == table.targets).double()
    return (predictions.double() - table.targets.double()).abs()
