"""What `exeunt eval` measured, as tables, JSON Lines or CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from exeunt.cli.render import (
    describe_transform,
    figure,
    millions,
    percent,
    short_spec,
    show_facts,
    show_table,
)
from exeunt.evaluate import ExitTable, Outcome, exit_rows
from exeunt.files import replacing

SCORES = ("accuracy", "oracle", "mean_confidence", "mae", "rmse")


@dataclass(frozen=True)
class Measurement:
    """The rows of `exeunt eval`; scores that the task has not are absent.

    Attributes:
        run: model, data, and how the images were prepared.
        exits: one row per exit, counted from 1.
        policies: one row per policy; `setting` is its spec.
    """

    run: dict[str, Any]
    exits: list[dict[str, Any]]
    policies: list[dict[str, Any]]

    @classmethod
    def of(cls, run: dict[str, Any], table: ExitTable, outcomes: Sequence[Outcome]) -> Measurement:
        """Brings a table's exits and what policies make of it into rows.

        Args:
            run: with `stored_policy`, the spec of the policy that gets marked, or None.
            table: the logits.
            outcomes: of the policies.
        """
        full = table.exit_macs[-1]
        exits = [
            {
                "kind": "exit",
                "exit": row.index + 1,
                **_scores(row),
                "macs": row.macs,
                "share_of_full": row.macs / full,
            }
            for row in exit_rows(table)
        ]
        policies = [
            {
                "kind": "policy",
                "setting": outcome.policy.spec,
                "stored": outcome.policy.spec == run["stored_policy"],
                **_scores(outcome),
                "macs": outcome.mean_macs,
                "share_of_full": outcome.mean_macs / full,
                "saving": outcome.saving,
                "exit_shares": list(outcome.exit_shares),
            }
            for outcome in outcomes
        ]
        return cls({"kind": "run", **run}, exits, policies)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """All of it for JSON Lines."""
        return [self.run, *self.exits, *self.policies]

    def write_csv(self, path: Path) -> None:
        """Writes exits and policies as one table; `macs` of a policy is the mean per image.

        Raises:
            OSError: when the file cannot be written.
        """
        common = {key: self.run[key] for key in ("model", "data", "split", "samples")}
        rows = []
        for row in [*self.exits, *self.policies]:
            shares = enumerate(row.get("exit_shares", []), 1)
            values = {key: value for key, value in row.items() if key != "exit_shares"}
            rows.append(common | values | {f"share_{k}": share for k, share in shares})
        keys = {key for row in rows for key in row}
        order = ("kind", "setting", "exit", "stored", *SCORES, "macs", "share_of_full", "saving")
        shares_of = [f"share_{k}" for k in range(1, len(self.exits) + 1)]
        columns = [key for key in (*order, *shares_of, *common) if key in keys]
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=columns)
            writer.writeheader()
            writer.writerows(rows)

    def show(self) -> None:
        """Prints what was prepared how, a table of the exits and one of the policies."""
        run = self.run
        images = f"{run['split']}: {run['samples']} images"
        if "transform" in run:
            origin = "that of the weights"
            if run["data_fingerprint"] != run["trained_on_fingerprint"]:
                origin = f"the weights were made from other data, {run['trained_on_fingerprint']}"
            facts = [
                ("model", run["model"]),
                ("data", f"{run['data']}, {images}"),
                ("fingerprint", f"{run['data_fingerprint']} ({origin})"),
                ("transform", describe_transform(run["transform"])),
            ]
        else:
            facts = [
                ("recorded", f"{run['data']}, {images}"),
                ("fingerprint", f"{run['data_fingerprint']}"),
                ("weights", run["weights_fingerprint"]),
            ]
        show_facts(facts)
        typer.echo("\nexits, each as if all images took it")
        self._show_exits()
        starred = "; * is the stored one" if run["stored_policy"] else ""
        typer.echo(f"\npolicies, and the % of images that left at each exit{starred}")
        self._show_policies()

    def _show_exits(self) -> None:
        scores = [name for name in SCORES if name in self.exits[0]]
        show_table(
            ["exit", *(name.replace("_", " ") for name in scores), "MACs", "of full"],
            [
                [
                    str(row["exit"]),
                    *(_shown(name, row[name]) for name in scores),
                    millions(row["macs"]),
                    percent(row["share_of_full"]),
                ]
                for row in self.exits
            ],
            "r" * (len(scores) + 3),
        )

    def _show_policies(self) -> None:
        scores = [name for name in SCORES if name in self.policies[0]]
        exits = "".join(f"{row['exit']:4}" for row in self.exits)
        show_table(
            ["policy", *scores, "mean MACs", "saving", exits],
            [
                [
                    short_spec(row["setting"]) + (" *" if row["stored"] else ""),
                    *(_shown(name, row[name]) for name in scores),
                    millions(row["macs"]),
                    percent(row["saving"]),
                    "".join(f"{100 * share:4.0f}" for share in row["exit_shares"]),
                ]
                for row in self.policies
            ],
            "l" + "r" * (len(scores) + 3),
        )


def _scores(scored: Any) -> dict[str, float]:
    """Those of `SCORES` that an exit's row or an outcome has."""
    found = {name: getattr(scored, name, None) for name in SCORES}
    return {name: value for name, value in found.items() if value is not None}


def _shown(name: str, value: float) -> str:
    return figure(value) if name in ("mae", "rmse") else percent(value)
