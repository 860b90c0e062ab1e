"""Criteria side by side: what policies make of the exits."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from exeunt.evaluate import ExitTable, Outcome
from exeunt.report.sections.scores import score_cells, score_columns, scores_with_interval
from exeunt.report.sections.section import Row, Section
from exeunt.text import millions, percent, short_spec


def policies_section(
    table: ExitTable,
    outcomes: Sequence[Outcome],
    stored: str | None,
    told: Collection[str] | None = None,
) -> Section:
    """One row per policy; `setting` is its spec.

    Args:
        table: what the policies were replayed on.
        outcomes: of the policies.
        stored: spec of the policy that gets marked, or None.
        told: specs of those that the table for people has, or None for all.
    """
    rows = [
        {
            "kind": "policy",
            "setting": outcome.policy.spec,
            "stored": outcome.policy.spec == stored,
            **outcome_row(table, outcome),
        }
        for outcome in outcomes
    ]
    starred = "; * is the stored one" if stored else ""
    lines = [row for row in rows if told is None or row["setting"] in told]
    others = f"; {len(rows) - len(lines)} more with --all" if len(lines) < len(rows) else ""
    columns = ["policy", *score_columns(rows[0]), "mean MACs", "saving", exits_heading(table)]
    return Section(
        f"policies, and the % of images that left at each exit{starred}{others}",
        rows,
        columns,
        [
            [
                short_spec(row["setting"]) + (" *" if row["stored"] else ""),
                *score_cells(row),
                millions(row["macs"]),
                percent(row["saving"]),
                shares_cell(row["exit_shares"]),
            ]
            for row in lines
        ],
        "l" + "r" * (len(columns) - 1),
    )


def outcome_row(table: ExitTable, outcome: Outcome) -> Row:
    """Scores, costs and exits of an outcome; `macs` is the mean per image."""
    return {
        **scores_with_interval(table, outcome, outcome.exit_index),
        "macs": outcome.mean_macs,
        "share_of_full": outcome.mean_macs / table.exit_macs[-1],
        "saving": outcome.saving,
        "exit_shares": list(outcome.exit_shares),
    }


def exits_heading(table: ExitTable) -> str:
    return "".join(f"{k:4}" for k in range(1, table.num_exits + 1))


def shares_cell(shares: Sequence[float]) -> str:
    return "".join(f"{100 * share:4.0f}" for share in shares)
