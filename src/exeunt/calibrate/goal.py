"""What a policy has to reach, and the policy that does."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exeunt.calibrate.budget import BudgetError
from exeunt.calibrate.choice import Choice, choose_policy
from exeunt.calibrate.criteria import CRITERIA, Named
from exeunt.calibrate.optimiser import optimised_policy
from exeunt.calibrate.risk import Guarantee, guaranteed_policy
from exeunt.calibrate.temperature import fit_temperatures
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable
from exeunt.policies import PerExit, Policy, Threshold, parse_policy

_GOALS = ("budget_macs", "budget_fraction", "max_accuracy_drop", "policy")


@dataclass(frozen=True)
class Goal:
    """One of four goals, and what goes with it.

    Attributes:
        budget_macs: mean multiply-adds per image.
        budget_fraction: the same, as a share of the full net's, 0 to 1.
        max_accuracy_drop: share of images that may be lost, with probability `confidence`.
        policy: a policy's spec, or the name of a criterion.
        confidence: of the promise; None where none is asked for.
        criterion: name of a criterion; None for the default one.
        temperature: divide each exit's logits by a temperature that is fitted first.
        tolerance: of regression, in units of the values; see `guaranteed_policy`.

    Raises:
        ExeuntError: there is not exactly one goal, or something goes with another one only.
    """

    budget_macs: float | None = None
    budget_fraction: float | None = None
    max_accuracy_drop: float | None = None
    policy: str | None = None
    confidence: float | None = None
    criterion: str | None = None
    temperature: bool = False
    tolerance: float | None = None

    def __post_init__(self) -> None:
        asked = [_option(name) for name in _GOALS if getattr(self, name) is not None]
        if len(asked) != 1:
            choices = ", ".join(map(_option, _GOALS))
            raise ExeuntError(f"give one of {choices}; got {' and '.join(asked) or 'none'}")
        if self.max_accuracy_drop is None:
            for name in ("confidence", "tolerance"):
                if getattr(self, name) is not None:
                    raise ExeuntError(f"{_option(name)} goes with --max-accuracy-drop only")
        elif self.temperature:
            raise ExeuntError(
                "--temperature is fitted to the calibration images, and what --max-accuracy-drop "
                "tries on them has to be fixed before; leave one of them out"
            )
        if self.budget_fraction is not None and not 0 < self.budget_fraction <= 1:
            raise ExeuntError(
                f"--budget-fraction {self.budget_fraction:g}: give a share of the full network's "
                "multiply-adds, above 0 and at most 1, such as 0.6"
            )
        if self.policy is not None:
            if self.criterion is not None:
                raise ExeuntError("--policy names a criterion itself; leave out --criterion")
            if self.policy not in CRITERIA:
                parse_policy(self.policy)  # before an hour of recording
                if self.temperature:
                    raise ExeuntError(
                        f"--policy {self.policy} is stored as it is; with --temperature, give "
                        f"the name of a criterion: {', '.join(CRITERIA)}"
                    )
        if self.temperature and not issubclass(self._named("classification").criterion, Threshold):
            raise ExeuntError("--temperature changes nothing for consistency; leave it out")

    def reach(self, table: ExitTable) -> tuple[Policy, Guarantee | Choice | None]:
        """Chooses on a table of the calibration split, and says what is known of the choice.

        Raises:
            ExeuntError: the goal cannot be reached, or not on such a table.
        """
        if self.policy is not None and self.policy not in CRITERIA:
            return parse_policy(self.policy), None
        named = self._named(table.task)
        temperature: PerExit = fit_temperatures(table) if self.temperature else 1.0
        if self.policy is not None:
            chosen = choose_policy(
                table, criterion=named.criterion, patient=named.patient, temperature=temperature
            )
            return chosen.policy, chosen
        if self.max_accuracy_drop is not None:
            guarantee = guaranteed_policy(
                table,
                self.max_accuracy_drop,
                0.95 if self.confidence is None else self.confidence,
                named.criterion,
                patient=named.patient,
                tolerance=self.tolerance,
            )
            return guarantee.policy, guarantee
        try:
            solved = optimised_policy(
                table,
                self._budget(table),
                criterion=named.criterion,
                temperature=temperature,
                patient=named.patient,
            )
        except BudgetError as error:
            raise ExeuntError(self._too_little(error.least, table.exit_macs[-1])) from error
        return solved, None

    def _too_little(self, least: float, full: int) -> str:
        """What answers a budget that is less than an image costs at least, in its own unit."""
        if self.budget_fraction is not None:
            asked = f"--budget-fraction {self.budget_fraction:g}"
            costs = f"{100 * least / full:.1f} % of the full network"
            enough = f"{math.ceil(100 * least / full) / 100:g}"
        else:
            asked = f"--budget-macs {self.budget_macs:g}"
            costs = f"{least:,.0f} multiply-adds"
            enough = f"{least:.0f}"
        return (
            f"{asked} cannot be kept: an image that leaves as early as it can costs {costs}. Give "
            f"{enough} or more, or train a network whose first exit costs less"
        )

    def _named(self, task: str) -> Named:
        usual = "confidence" if task == "classification" else "consistency"
        name = self.policy if self.policy in CRITERIA else self.criterion
        return CRITERIA[name or usual]

    def _budget(self, table: ExitTable) -> float:
        if self.budget_macs is not None:
            return self.budget_macs
        assert self.budget_fraction is not None
        return self.budget_fraction * table.exit_macs[-1]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
