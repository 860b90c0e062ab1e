"""How sure every exit is of every sample, in one direction for all criteria, and how right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable
from exeunt.policies import Confidence, PerExit, Threshold, TopClass


def confidence_scores(
    table: ExitTable, criterion: type[Threshold] = Confidence, temperature: PerExit = 1.0
) -> Tensor:
    """What a criterion reads at every exit but the last (E-1 N), float32; larger is surer.

    Args:
        table: Of classification.
        criterion: `Confidence`, `Margin` or `Entropy`, whose readings change sign.
        temperature: One for all exits, or one for each exit (the last is not asked).

    Raises:
        ExeuntError: The table is of regression, whose exits are not sure of anything.
    """
    if table.task == "regression":
        raise ExeuntError(
            f"{criterion.name} needs logits of two or more classes; for regression, the exits' "
            "agreement is all there is: consistency:K,eta=X"
        )
    policy = threshold_policy(criterion, [float("inf")] * (table.num_exits - 1), temperature)
    rows = [
        table.read(reading, k) for k in range(table.num_exits - 1) for reading in policy.readings(k)
    ]
    if not rows:
        return torch.empty(0, len(table))
    sure = torch.stack(rows)
    return sure if criterion.sign == ">=" else -sure


def correctness(table: ExitTable) -> Tensor:
    """Whether each exit's likeliest class is the sample's (E N)."""
    classes = [table.read(TopClass(), k) for k in range(table.num_exits)]
    return table.targets == torch.stack(classes)


def first_exits(sure: Tensor, levels: Sequence[float]) -> Tensor:
    """The first exit (N) where a sureness (E-1 N) is at least the level there, or the last."""
    exit_index = torch.full((sure.shape[1],), len(sure))
    for k in reversed(range(len(sure))):
        exit_index[sure[k] >= levels[k]] = k
    return exit_index


def threshold_policy(
    criterion: type[Threshold], levels: Iterable[float], temperature: PerExit = 1.0
) -> Threshold:
    """The policy that leaves at each exit where `confidence_scores` is at least the level there.

    Args:
        criterion: `Confidence`, `Margin` or `Entropy`.
        levels: One for each exit but the last; infinity where nobody leaves.
        temperature: As `confidence_scores` got it.
    """
    sign = 1 if criterion.sign == ">=" else -1
    thresholds = tuple(sign * level + 0.0 for level in levels)  # + 0.0 makes -0.0 a plain 0
    if isinstance(temperature, tuple):
        temperature = _plain(temperature[: len(thresholds)], 1.0)
    return criterion(_plain(thresholds, criterion.never), temperature)


def _plain(values: tuple[float, ...], nothing: float) -> PerExit:
    """A tuple of one as the number that a policy's spec is read back as."""
    if len(values) > 1:
        return values
    return values[0] if values else nothing
