"""What a calibrated policy is expected to do, as text or JSON Lines."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exeunt.calibrate import Choice, Guarantee
from exeunt.cli.render import figure, millions, percent, short_spec, show_facts
from exeunt.evaluate import ExitTable, Outcome, wilson

_Z = 1.959964  # 95 % of a normal distribution lie within so many deviations


@dataclass(frozen=True)
class Expectation:
    """What was chosen, where it is stored, and what it did on the calibration images.

    Intervals are at 95 %: Wilson's for the accuracy, normal for the mean MACs. They say how far
    off a count may be, not that the policy was chosen for doing well on the same images.
    """

    model: str
    data: str
    path: Path
    table: ExitTable
    outcome: Outcome
    reason: Guarantee | Choice | None

    def record(self) -> dict[str, Any]:
        """All of it for JSON Lines."""
        outcome, full = self.outcome, self.table.exit_macs[-1]
        record: dict[str, Any] = {
            "kind": "calibration",
            "model": self.model,
            "data": self.data,
            "out": str(self.path),
            "policy": outcome.policy.spec,
            "split": self.table.split,
            "samples": len(self.table),
        }
        if outcome.accuracy is not None:
            record |= {
                "accuracy": outcome.accuracy,
                "accuracy_interval": list(self._accuracy_interval),
            }
        else:
            record |= {"mae": outcome.mae, "rmse": outcome.rmse}
        low, high = self._macs_interval
        record |= {
            "macs": outcome.mean_macs,
            "macs_interval": [low, high],
            "share_of_full": outcome.mean_macs / full,
            "saving": outcome.saving,
            "exit_shares": list(outcome.exit_shares),
        }
        if isinstance(self.reason, Guarantee):
            record["guarantee"] = {
                "max_loss": self.reason.max_loss,
                "probability": self.reason.probability,
                "lost": self.reason.losses,
            }
        elif self.reason is not None:
            low, high = self.reason.interval
            record["choice"] = {
                "best": self.reason.best.policy.spec,
                "gain_low": low,
                "gain_high": high,
                "margin": self.reason.margin,
                "shown": self.reason.shown,
            }
        return record

    def show(self) -> None:
        """Prints it."""
        outcome = self.outcome
        low, high = self._macs_interval
        facts = [
            ("policy", f"{outcome.policy} ({short_spec(outcome.policy.spec)})"),
            ("stored in", str(self.path)),
            ("chosen on", f"{self.data}, {self.table.split}: {len(self.table)} images"),
            *self._scores(),
            (
                "mean MACs",
                f"{millions(outcome.mean_macs)} ({millions(low)} to {millions(high)}), "
                f"saving {percent(outcome.saving)}",
            ),
            ("exit shares", ", ".join(percent(share) for share in outcome.exit_shares)),
        ]
        if isinstance(self.reason, Guarantee):
            facts.append(("guarantee", self._promise(self.reason)))
        elif self.reason is not None:
            facts.append(("why", str(self.reason)))
        facts.append(("measure it with", shlex.join(["exeunt", "eval", str(self.path), self.data])))
        show_facts(facts)

    @property
    def _accuracy_interval(self) -> tuple[float, float]:
        right = (self.outcome.logits.argmax(dim=1) == self.table.targets).sum()
        return wilson(int(right), len(self.table))

    @property
    def _macs_interval(self) -> tuple[float, float]:
        mean = self.outcome.mean_macs
        shares = zip(self.outcome.exit_shares, self.table.exit_macs, strict=True)
        variance = math.fsum(share * (macs - mean) ** 2 for share, macs in shares)
        reach = _Z * math.sqrt(variance / len(self.table))
        return mean - reach, mean + reach

    def _scores(self) -> list[tuple[str, str]]:
        outcome = self.outcome
        if outcome.accuracy is None:
            assert outcome.mae is not None
            assert outcome.rmse is not None
            return [("error", f"mae {figure(outcome.mae)}, rmse {figure(outcome.rmse)}")]
        low, high = self._accuracy_interval
        return [
            ("accuracy", f"{percent(outcome.accuracy)} ({percent(low)} to {percent(high)}, 95 %)")
        ]

    def _promise(self, guarantee: Guarantee) -> str:
        lost = f"({guarantee.losses} of {guarantee.samples} images were lost)"
        if self.outcome.saving == 0:
            return f"nobody leaves early: nothing eager could be shown to be safe {lost}"
        return (
            f"at most {percent(guarantee.max_loss)} of such images are lost by leaving early, "
            f"with probability {percent(guarantee.probability)} {lost}"
        )
