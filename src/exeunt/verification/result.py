"""What a comparison of an exported folder with Python found."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from exeunt.text import figure, percent


@dataclass(frozen=True)
class CVerification:
    """A folder of C, whose scores were found to be Python's.

    Attributes:
        dtype: of its numbers, `int8` or `float32`.
        images: that were compared, at every exit.
        exits: E.
        same_bits: whether all scores were the same to the bit; within 1e-4 of the largest if not.
        exit_accuracy: of each exit alone, 0 to 1 (E); None for regression.
        accuracy: with the policy, 0 to 1; None for regression.
        exit_mae: mean absolute error of each exit alone (E); None for classes.
        mae: mean absolute error with the policy; None for classes.
        exit_macs: multiply-adds up to each exit (E).
        exit_shares: of the images that took each exit (E).
        mean_macs: multiply-adds of an image on average.
        saving: share of the whole network's that was not needed.
        memory: bytes of RAM by what they are for. This and the rest are of a device, or None.
        flash: bytes of code and constants.
        exit_instructions: of an image to each exit, on average (E).
        mean_instructions: of an image with the policy, on average.
        instructions_per_mac: to the last exit.
        operators: multiply-adds and instructions by kind, where they were asked for.
        cycles: an estimate of them, of milliseconds and millijoules, by exit and with the policy,
            where it was asked for (`exeunt.cycles.cycle_facts`).
    """

    dtype: str
    images: int
    exits: int
    same_bits: bool
    exit_macs: tuple[int, ...]
    exit_shares: tuple[float, ...]
    mean_macs: float
    saving: float
    exit_accuracy: tuple[float, ...] | None = None
    accuracy: float | None = None
    exit_mae: tuple[float, ...] | None = None
    mae: float | None = None
    memory: dict[str, int] | None = None
    flash: dict[str, int] | None = None
    exit_instructions: tuple[float, ...] | None = None
    mean_instructions: float | None = None
    instructions_per_mac: float | None = None
    operators: tuple[dict[str, Any], ...] | None = None
    cycles: dict[str, Any] | None = None

    @property
    def worth(self) -> tuple[str, str, str]:
        """In words: what is told, of each exit, and with the policy."""
        if self.exit_accuracy is not None and self.accuracy is not None:
            return "accuracy", ", ".join(map(percent, self.exit_accuracy)), percent(self.accuracy)
        errors = ", ".join(map(figure, self.exit_mae or ()))
        return "mean error", errors, "unknown" if self.mae is None else figure(self.mae)

    def to_dict(self) -> dict[str, Any]:
        """All of it under stable keys; what was not asked for is absent."""
        return {name: value for name, value in _listed(self).items() if value is not None}


@dataclass(frozen=True)
class OnnxVerification:
    """A folder of ONNX files, beside PyTorch.

    Attributes:
        dtype: of its numbers, `int8` or `float32`.
        policy: spec of its policy.
        images: that were compared, at every exit.
        exits: E.
        largest_difference: between scores.
        same: share of the images that left at the same exit with the same class.
        exit_agreement: share of the images of which each exit says the same (E).
        borderline: names of images on the edge of a decision.
        single_same: as `same`, of the one graph; None where there is none.
        exit_shares: of the images that took each exit (E).
        mean_macs: multiply-adds of an image on average.
        saving: share of the whole network's that was not needed.
        exit_accuracy: of each exit alone, 0 to 1 (E); None for regression.
        accuracy: with the policy, 0 to 1; None for regression.
    """

    dtype: str
    policy: str
    images: int
    exits: int
    largest_difference: float
    same: float
    exit_agreement: tuple[float, ...]
    borderline: tuple[str, ...]
    single_same: float | None
    exit_shares: tuple[float, ...]
    mean_macs: float
    saving: float
    exit_accuracy: tuple[float, ...] | None = None
    accuracy: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All of it under stable keys; accuracies are absent for regression."""
        absent = ("exit_accuracy", "accuracy") if self.accuracy is None else ()
        return {name: value for name, value in _listed(self).items() if name not in absent}


Verification: TypeAlias = CVerification | OnnxVerification


def _listed(found: Verification) -> dict[str, Any]:
    """Fields in order, with lists as JSON has them."""
    values = {one.name: getattr(found, one.name) for one in fields(found)}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
