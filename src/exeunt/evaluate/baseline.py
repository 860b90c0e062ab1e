"""What answers score that do not look at the images: the least that a network has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exeunt.evaluate.table import ExitTable


@dataclass(frozen=True)
class Baseline:
    """One answer for all samples, the best there is.

    Attributes:
        answer: Index of the commonest class, or the median value.
        accuracy: Share of samples that are right with it, 0 to 1; None for regression.
        mae: Mean absolute error with it; None for classification.
    """

    answer: float
    accuracy: float | None = None
    mae: float | None = None

    def describe(self, class_names: Sequence[str] = ()) -> str:
        """`always 'cat' scores 25.0 %`.

        Args:
            class_names: In the order of the indices; empty where unknown.
        """
        if self.accuracy is None:
            return f"always {self.answer:.4g} has an error of {self.mae:.4g}"
        index = int(self.answer)
        name = repr(class_names[index]) if class_names else f"class {index}"
        return f"always {name} scores {100 * self.accuracy:.1f} %"


def baseline(table: ExitTable) -> Baseline:
    """The best that one answer for all samples of this table does."""
    if table.task == "classification":
        counts = table.targets.bincount()
        index = int(counts.argmax())
        return Baseline(index, accuracy=int(counts[index]) / len(table))
    values = table.targets.double()
    median = values.median()
    return Baseline(float(median), mae=float((values - median).abs().mean()))
