"""How confident every exit is of every sample, by one direction for all criteria, and whether it is
correct.
"""

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
    """What a criterion reads at every exit but the last (E-1 N), float32; larger is more
    confident.

    Args:
        table: Of classification.
        criterion: `Confidence`, `Margin` or `Entropy`, whose readings change sign.
        temperature: One for all exits, or one for each exit (the last is not asked).

    Raises:
        ExeuntError: The table is of regression, whose exits are not confident of anything.
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
    confidence = torch.stack(rows)
    return confidence if criterion.sign == ">=" else -confidence


def correctness(table: ExitTable) -> Tensor:
    """Whether each exit's likeliest class is the sample's (E N)."""
    classes = [table.read(TopClass(), k) for k in range(table.num_exits)]
    return table.targets == torch.stack(classes)


def first_exits(confidence: Tensor, at_least: Sequence[float]) -> Tensor:
    """The first exit (N) whose threshold (E-1) the confidence (E-1 N) reaches, or the last."""
    exit_index = torch.full((confidence.shape[1],), len(confidence))
    for k in reversed(range(len(confidence))):
        exit_index.masked_fill_(confidence[k] >= at_least[k], k)
    return exit_index


def threshold_policy(
    criterion: type[Threshold], at_least: Iterable[float], temperature: PerExit = 1.0
) -> Threshold:
    """The policy that leaves at each exit where `confidence_scores` is at least so large.

    Args:
        criterion: `Confidence`, `Margin` or `Entropy`.
        at_least: One for each exit but the last; infinity where nobody leaves.
        temperature: As `confidence_scores` got it.
    """
    sign = 1 if criterion.sign == ">=" else -1
    thresholds = tuple(sign * value + 0.0 for value in at_least)  # + 0.0 makes -0.0 a plain 0
    if isinstance(temperature, tuple):
        temperature = _plain(temperature[: len(thresholds)], 1.0)
    return criterion(_plain(thresholds, criterion.never), temperature)


def _plain(values: tuple[float, ...], nothing: float) -> PerExit:
    """A tuple of one as the number that a policy's spec is read back as."""
    if len(values) > 1:
        return values
    return values[0] if values else nothing
