"""What an export chooses on calibration images, whatever it writes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from exeunt.data import MAX_UNREADABLE_FRACTION, Data, DataLike, as_data
from exeunt.errors import ExeuntError

if TYPE_CHECKING:
    from torch import Tensor

    from exeunt.evaluate import ExitTable
    from exeunt.graph import Graph
    from exeunt.policies import Policy
    from exeunt.quantize import Range
    from exeunt.trained import TrainedModel


@dataclass(frozen=True)
class PolicyOptions:
    """What policy is asked for; at most one of these."""

    policy: str | None
    budget_fraction: float | None
    max_accuracy_drop: float | None

    def __post_init__(self) -> None:
        asked = [name for name, value in vars(self).items() if value is not None]
        if len(asked) > 1:
            options = " and ".join("--" + name.replace("_", "-") for name in asked)
            raise ExeuntError(f"give one of {options}")

    def given(self, trained: TrainedModel) -> Policy:
        """The policy that needs no images.

        Raises:
            ExeuntError: when what is asked for does.
        """
        if self.budget_fraction is not None or self.max_accuracy_drop is not None:
            raise ExeuntError("a policy is chosen on images: give --calibration DATA")
        return trained.policy(self.policy)

    def reach(self, trained: TrainedModel, table: ExitTable, before: ExitTable) -> Policy:
        """The policy, chosen on what was recorded of the exported net.

        Args:
            trained: whose policy stands if nothing is asked for.
            table: of the calibration split, by the exported net.
            before: the same by the net in float32.
        """
        from exeunt.calibrate import match_policy
        from exeunt.calibrate.goal import Goal

        if all(value is None for value in vars(self).values()):
            return match_policy(trained.policy(None), before, table)
        goal = Goal(
            budget_fraction=self.budget_fraction,
            max_accuracy_drop=self.max_accuracy_drop,
            policy=self.policy,
        )
        chosen, _ = goal.reach(table)
        return chosen


class CalibrationImages:
    """Calibration images, and what a net says of them."""

    def __init__(
        self,
        trained: TrainedModel,
        data: Data,
        limit: int | None,
        batch_size: int,
        workers: int,
        allow_unreadable: float = MAX_UNREADABLE_FRACTION,
    ) -> None:
        from exeunt.evaluate.splits import open_labelled, select_samples

        self.trained, self.batch_size, self.workers = trained, batch_size, workers
        self.allow_unreadable = allow_unreadable
        source = open_labelled(trained, data)
        self.samples = select_samples(trained, source, "calibration", limit)
        self.exit_macs: tuple[int, ...] | None = None

    def record(self, trained: TrainedModel) -> ExitTable:
        """All exits of a net on all images."""
        from exeunt.evaluate.splits import record_split

        table = record_split(
            trained,
            self.samples,
            "calibration",
            batch_size=self.batch_size,
            workers=self.workers,
            allow_unreadable=self.allow_unreadable,
        )
        return table if self.exit_macs is None else replace(table, exit_macs=self.exit_macs)

    def costing(self, exit_macs: Sequence[int]) -> CalibrationImages:
        """The same images, for a net whose exits cost this, since maps or rows are made again."""
        images = copy(self)
        images.exit_macs = tuple(exit_macs)
        return images

    def ranges(self, graph: Graph, method: str) -> dict[str, Range]:
        """How far the tensors of a graph reach on some of the images."""
        from exeunt.quantize import observe_ranges

        return observe_ranges(graph, self.range_batches(), method)

    def range_batches(self) -> list[Tensor]:
        """Batches (N C H W) of at most 256 of the images, to find ranges on."""
        from exeunt.quantize import range_images

        seed = self.trained.split_spec.seed
        return range_images(self.samples, self.trained.transform, seed, self.batch_size)


def images_and_goal(
    trained: TrainedModel, data: DataLike | None, limit: int | None, goal: dict[str, Any]
) -> tuple[CalibrationImages | None, PolicyOptions]:
    """Calibration images, if there are any, and the policy that is asked for by name.

    Raises:
        ExeuntError: when something else is asked for.
    """
    known = {"policy", "budget_fraction", "max_accuracy_drop"}
    if odd := sorted(goal.keys() - known):
        raise ExeuntError(f"unknown argument {odd[0]!r}; one of {', '.join(sorted(known))}")
    images = None if data is None else CalibrationImages(trained, as_data(data), limit, 8, 0)
    return images, PolicyOptions(**dict.fromkeys(known) | goal)


def needed_for_int8(images: CalibrationImages | None) -> CalibrationImages:
    """The images.

    Raises:
        ExeuntError: when there are none.
    """
    if images is None:
        raise ExeuntError(
            "int8 finds its ranges on images: give --calibration DATA, or --dtype float32"
        )
    return images


def choose_policy(
    trained: TrainedModel, images: CalibrationImages | None, wanted: PolicyOptions
) -> tuple[Policy, dict[str, Any]]:
    """The policy of a net that is exported in float32, and what it does on the images."""
    if images is None:
        return wanted.given(trained), {}
    table = images.record(trained)
    policy = wanted.reach(trained, table, table)
    return policy, on_calibration(table, policy, table)


def on_calibration(table: ExitTable, policy: Policy, before: ExitTable) -> dict[str, Any]:
    """What the exported net and its policy do on the calibration split."""
    from exeunt.evaluate import exit_rows, replay

    outcome = replay(table, policy)
    agree = (table.logits.argmax(2) == before.logits.argmax(2)).double().mean(1)
    return {
        "images": len(table),
        "exit_accuracy": [row.accuracy for row in exit_rows(table)],
        "exit_accuracy_float32": [row.accuracy for row in exit_rows(before)],
        "exit_agreement": agree.tolist(),
        "accuracy": outcome.accuracy,
        "saving": outcome.saving,
    }
