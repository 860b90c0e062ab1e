"""How right outputs are."""

from __future__ import annotations

from torch import Tensor

from exeunt.evaluate.table import Task


def scores_of(task: Task, predictions: Tensor, targets: Tensor) -> dict[str, float]:
    """Scores of predictions (N,) against targets (N,), under the names of `Outcome`'s fields."""
    if task == "classification":
        return {"accuracy": (predictions == targets).double().mean().item()}
    error = predictions.double() - targets.double()
    return {"mae": error.abs().mean().item(), "rmse": error.square().mean().sqrt().item()}
