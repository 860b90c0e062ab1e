"""How right outputs are."""

from __future__ import annotations

from torch import Tensor

from exeunt.evaluate.table import Task


def scores_of(task: Task, logits: Tensor, targets: Tensor) -> dict[str, float]:
    """Scores of outputs (N K) against targets (N,), under the names of `Outcome`'s fields."""
    if task == "classification":
        return {"accuracy": (logits.argmax(dim=1) == targets).double().mean().item()}
    error = logits[:, 0].double() - targets.double()
    return {"mae": error.abs().mean().item(), "rmse": error.square().mean().sqrt().item()}
