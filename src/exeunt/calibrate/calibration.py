"""Choosing a policy on the calibration split, and what it does there."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

from exeunt.calibrate.choice import Choice
from exeunt.calibrate.goal import Goal
from exeunt.calibrate.held_out import refuse_tested, refuse_trained
from exeunt.calibrate.risk import Guarantee
from exeunt.data import MAX_UNREADABLE_FRACTION, Data, Sample, Source, fingerprint
from exeunt.errors import ExeuntWarning
from exeunt.evaluate import ExitTable, Outcome, metrics_of, replay, wilson
from exeunt.evaluate.splits import open_labelled, record_split, select_samples, split_samples
from exeunt.html import html_bars, html_facts
from exeunt.models import WeightsInfo
from exeunt.policies import Policy
from exeunt.progress import OnProgress
from exeunt.text import figure, percent, short_spec
from exeunt.trained import TrainedModel

_Z = 1.959964  # 95 % of a normal distribution lie within so many deviations


@dataclass(frozen=True)
class Calibration:
    """The policy that was chosen, and what it did on the calibration images.

    Attributes:
        table: of the calibration split.
        outcome: of the policy on it.
        reason: what is known of the choice: a guarantee, or an interval of what it loses.

    Intervals are at 95 %: Wilson's for the accuracy, normal for the mean MACs. They say how far
    off a count may be, not that the policy was chosen for doing well on the same images.
    """

    table: ExitTable
    outcome: Outcome
    reason: Guarantee | Choice | None = None

    def __repr__(self) -> str:
        return f"Calibration({', '.join(f'{name} {value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        shares = self.outcome.exit_shares
        names = [f"{k}: {percent(share)}" for k, share in enumerate(shares, 1)]
        return html_facts(self._facts()) + html_bars(shares, names, "share of images by exit")

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("policy", short_spec(self.policy.spec)),
            ("images", f"{len(self.table)} of the {self.table.split} split"),
        ]
        if self.outcome.accuracy is not None:
            low, high = map(percent, self.accuracy_interval)
            facts.append(("accuracy", f"{percent(self.outcome.accuracy)} ({low} to {high})"))
        elif self.outcome.mae is not None:
            facts.append(("mean absolute error", figure(self.outcome.mae)))
        facts.append(("saving", percent(self.outcome.saving)))
        if self.guarantee is not None:
            lost, sure = percent(self.guarantee.max_loss), percent(self.guarantee.probability)
            facts.append(("guarantee", f"at most {lost} lost, with {sure} probability"))
        elif self.reason is not None:
            facts.append(("because", str(self.reason)))
        return facts

    @property
    def guarantee(self) -> Guarantee | None:
        """That goes with the policy, if there is one."""
        return self.reason if isinstance(self.reason, Guarantee) else None

    @property
    def policy(self) -> Policy:
        """What was chosen."""
        return self.outcome.policy

    def to_dict(self) -> dict[str, Any]:
        """All of it under stable keys."""
        outcome, full = self.outcome, self.table.exit_macs[-1]
        record: dict[str, Any] = {
            "policy": outcome.policy.spec,
            "split": self.table.split,
            "samples": len(self.table),
        }
        if outcome.accuracy is not None:
            record |= {
                "accuracy": outcome.accuracy,
                "accuracy_interval": list(self.accuracy_interval),
            }
        else:
            record |= {"mae": outcome.mae, "rmse": outcome.rmse}
        low, high = self.macs_interval
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

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Of the accuracy, 0 to 1."""
        right = (self.outcome.logits.argmax(dim=1) == self.table.targets).sum()
        return wilson(int(right), len(self.table))

    @property
    def macs_interval(self) -> tuple[float, float]:
        """Of the mean multiply-adds of an image."""
        mean = self.outcome.mean_macs
        shares = zip(self.outcome.exit_shares, self.table.exit_macs, strict=True)
        variance = math.fsum(share * (macs - mean) ** 2 for share, macs in shares)
        reach = _Z * math.sqrt(variance / len(self.table))
        return mean - reach, mean + reach


def calibrate(
    trained: TrainedModel,
    data: Data,
    goal: Goal,
    *,
    batch_size: int = 64,
    workers: int = 0,
    allow_unreadable: float = MAX_UNREADABLE_FRACTION,
    on_progress: OnProgress | None = None,
) -> Calibration:
    """Runs all exits over the calibration split of DATA and chooses a policy there.

    Args:
        trained: the network.
        data: labelled images, those of the training at best.
        goal: what the policy has to reach.
        batch_size: images that go through the net at once.
        workers: processes that load images.
        allow_unreadable: share of the images that may be.
        on_progress: called after every batch; a bar on a terminal without it.

    Raises:
        ExeuntError: when the goal cannot be reached, or the images are those of the training or
            the test.
    """
    source = open_labelled(trained, data)
    samples = select_samples(trained, source, "calibration", None)
    _check_held_out(trained, source, samples, data)
    table = record_split(
        trained,
        samples,
        "calibration",
        batch_size=batch_size,
        workers=workers,
        allow_unreadable=allow_unreadable,
        on_progress=on_progress,
    )
    return calibrate_table(table, goal)


def calibrate_table(table: ExitTable, goal: Goal) -> Calibration:
    """Chooses a policy on a table of the calibration split.

    Raises:
        ExeuntError: when the goal cannot be reached, or the table holds test images.
    """
    policy, reason = goal.reach(table)
    return Calibration(table, replay(table, policy), reason)


def with_policy(info: WeightsInfo, policy: Policy, table: ExitTable) -> WeightsInfo:
    """Metadata with another policy, and its figures on the calibration split.

    Figures that another policy reached on other splits are dropped; those of the exits stay.
    """
    metrics = {name: dict(figures) for name, figures in info.metrics.items()}
    for figures in metrics.values():
        if figures.get("policy", {}).get("spec") != policy.spec:
            figures.pop("policy", None)
    metrics["calibration"] = metrics_of(table, policy)
    history = [*info.policy_history]
    if info.policy != policy.spec:
        history.append(info.policy)
    return replace(info, policy=policy.spec, policy_history=history, metrics=metrics)


def _check_held_out(
    trained: TrainedModel, source: Source, samples: tuple[Sample, ...], data: Data
) -> None:
    """Refuses images that the weights were trained or are tested on, as far as that can be told.

    Raises:
        ExeuntError: with the way out.
    """
    refuse_tested(samples, split_samples(trained, source, "test"))
    made_from = trained.info.data.get("fingerprint")
    if made_from and fingerprint(source.samples) == made_from:
        return
    known = refuse_trained(samples, trained.info.calibration_hashes)
    if known == 0 and trained.info.split:  # or else `select_samples` has said that nothing is known
        message = (
            f"{data}: {'not' if made_from else 'nothing says whether these are'} the images of the "
            "training; the figures are worth what these are, if the weights were neither trained "
            "nor tested on them"
        )
        warnings.warn(message, ExeuntWarning, stacklevel=2)
