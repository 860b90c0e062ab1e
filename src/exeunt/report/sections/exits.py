"""Anytime prediction: what every exit is worth on its own."""

from __future__ import annotations

from exeunt.evaluate import ExitTable, baseline, exit_rows
from exeunt.report.sections.scores import score_cells, score_columns, scores_with_interval
from exeunt.report.sections.section import Section
from exeunt.text import millions, percent


def exits_section(table: ExitTable) -> Section:
    """One row per exit, counted from 1."""
    rows = [
        {
            "kind": "exit",
            "exit": row.index + 1,
            **scores_with_interval(table, row, row.index),
            "macs": row.macs,
            "share_of_full": row.macs / table.exit_macs[-1],
        }
        for row in exit_rows(table)
    ]
    columns = ["exit", *score_columns(rows[0]), "MACs", "of full"]
    return Section(
        f"exits, each as if all images took it; {baseline(table).describe(table.class_names)}",
        rows,
        columns,
        [
            [
                str(row["exit"]),
                *score_cells(row),
                millions(row["macs"]),
                percent(row["share_of_full"]),
            ]
            for row in rows
        ],
        "r" * len(columns),
    )
