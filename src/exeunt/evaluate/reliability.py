"""Whether an exit is as sure as it is right."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from exeunt.errors import ExeuntError
from exeunt.evaluate.scores import right_classes
from exeunt.evaluate.table import ExitTable
from exeunt.policies import TopProbability


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: samples in bins of equal width by their confidence.

    Attributes:
        ece: Expected calibration error: the gap between confidence and accuracy of a bin, averaged
            over all samples; 0 to 1.
        edges: Of the bins, from 0 to 1 (B + 1); a bin holds its upper edge and not its lower.
        counts: Samples in each bin (B).
        mean_confidence: Mean of the largest softmax probability in each bin (B); None in those
            that are empty.
        accuracy: Share of each bin that is right (B); None likewise.
    """

    ece: float
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean_confidence: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]


def reliability(
    table: ExitTable, exit_index: int, bins: int = 15, temperature: float = 1.0
) -> Reliability:
    """Compares confidence and accuracy of one exit, as if every sample took it (Guo et al., ICML
    2017).

    Args:
        table: Of a classification.
        exit_index: The exit, counted from 0.
        bins: B; the error depends on it, and 15 is usual.
        temperature: That logits are divided by before the softmax.

    Raises:
        ExeuntError: The table is of a regression, or there is no such exit, bin or temperature.
    """
    if not 0 <= exit_index < table.num_exits:
        raise ExeuntError(f"exit_index must be in 0..{table.num_exits - 1}, got {exit_index}")
    if bins < 1:
        raise ExeuntError(f"bins must be a whole number >= 1, got {bins}")
    if not 0 < temperature < float("inf"):
        raise ExeuntError(f"temperature must be a finite number > 0, got {temperature}")
    right = right_classes(table)[exit_index].double()
    confidence = table.read(TopProbability(temperature), exit_index).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    # rounding can put a probability a hair above 1: the last bin takes it
    placed = torch.bucketize(confidence, edges[1:-1])
    counts: list[int] = placed.bincount(minlength=bins).tolist()
    sure = placed.bincount(confidence, minlength=bins).tolist()
    hits = placed.bincount(right, minlength=bins).tolist()
    gaps = [abs(s - h) for s, h in zip(sure, hits, strict=True)]
    return Reliability(
        ece=sum(gaps) / len(table),
        edges=tuple(edges.tolist()),
        counts=tuple(counts),
        mean_confidence=tuple(s / n if n else None for s, n in zip(sure, counts, strict=True)),
        accuracy=tuple(h / n if n else None for h, n in zip(hits, counts, strict=True)),
    )
