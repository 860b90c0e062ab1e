"""What is asked of a table of exits, and how that is answered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exeunt.calibrate import Curve, budgeted_curves
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, Outcome, default_policies, pareto_outcomes, replay, sweep
from exeunt.policies import Full, Policy, parse_policy
from exeunt.report.plots import plot_costs, plot_diagnosis
from exeunt.report.sections.budgeted import budgeted_section
from exeunt.report.sections.diagnosis import diagnosis_sections
from exeunt.report.sections.exits import exits_section
from exeunt.report.sections.policies import policies_section
from exeunt.report.sections.section import Section

PROTOCOLS = ("policies", "anytime", "budgeted")


@dataclass(frozen=True)
class EvaluationOptions:
    """What is to be measured.

    Attributes:
        protocol: how the exits are used, one of `PROTOCOLS`.
        policies: those to try instead of the default ones.
        diagnose: whether to tell what goes wrong too.
        plot: folder for figures, or None for none.
        every: whether people get a line for each of the default policies, or for those that differ.

    Raises:
        ExeuntError: when policies are given that nothing would be done with.
    """

    protocol: str
    policies: list[Policy]
    diagnose: bool
    plot: Path | None
    every: bool = False

    def __post_init__(self) -> None:
        if self.policies and self.protocol == "anytime" and not self.diagnose:
            raise ExeuntError(
                "--policy does not go with --protocol anytime, which asks none; leave out one of "
                "them, or add --diagnose"
            )


def evaluation_sections(
    options: EvaluationOptions, run: dict[str, Any], table: ExitTable, held_out: ExitTable | None
) -> list[Section]:
    """Measures a table, and draws it if that is asked.

    Args:
        options: what is asked.
        run: with `model`, for titles, and `stored_policy`, a spec or None.
        table: of the split that is measured.
        held_out: of the calibration split, which the budgeted protocol needs.

    Raises:
        ExeuntError: when the two tables do not go together, or matplotlib is missing for figures.
        OSError: when a figure cannot be written.
    """
    stored = [parse_policy(run["stored_policy"])] if run["stored_policy"] else []
    outcomes: list[Outcome] = []
    curves: list[Curve] = []
    sections = [exits_section(table)]
    if options.protocol != "anytime":
        policies = [*(options.policies or default_policies(table)), *stored]
        outcomes = sweep(table, {policy.spec: policy for policy in policies}.values())
        shown = None
        if not (options.every or options.policies):
            shown = {one.policy.spec for one in pareto_outcomes(outcomes, [Full(), *stored])}
        sections.append(policies_section(table, outcomes, run["stored_policy"], shown))
    if held_out is not None:
        curves = budgeted_curves(held_out, table)
        sections.append(budgeted_section(table, curves))
    looked_at = replay(table, [*options.policies, *stored, Full()][0])
    names = table.class_names or tuple(map(str, range(table.logits.shape[2])))
    if options.diagnose:
        sections += diagnosis_sections(table, looked_at, names)
    if options.plot is not None:
        title = f"{Path(run['model']).name}, {table.split}: {len(table)} images"
        plot_costs(options.plot, table, title, outcomes=outcomes, curves=curves)
        if options.diagnose and table.task == "classification":
            plot_diagnosis(options.plot, table, looked_at, names, title)
    return sections
