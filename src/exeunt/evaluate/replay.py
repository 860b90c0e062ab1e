"""Policies replayed over recorded logits, as often as needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from exeunt.errors import expect
from exeunt.evaluate.scores import scores_of
from exeunt.evaluate.table import ExitTable
from exeunt.html import html_bars, html_facts
from exeunt.inference import drive
from exeunt.policies import Memory, Policy, ReadingPolicy, expect_policy
from exeunt.text import figure, millions, percent, short_spec


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a policy does on a table: what it gets right and what it spends.

    Attributes:
        table: What it was replayed on.
        policy: The policy that was replayed.
        exit_index: Exit that each sample took, counted from 0 (N, int64).
        predictions: What that exit said: class indices (N, int64) or values (N, float32).
        mean_macs: Multiply-adds spent per sample, on average.
        saving: 1 - mean_macs / multiply-adds of the whole net.
        exit_shares: Share of the samples that took each exit (E), summing to 1.
        accuracy: Share of samples right at the exit taken, 0 to 1; None for regression.
        mae: Mean absolute error at the exit taken; None for classification.
        rmse: Root mean squared error at the exit taken; None for classification.
    """

    table: ExitTable = field(repr=False)
    policy: Policy
    exit_index: Tensor
    predictions: Tensor
    mean_macs: float
    saving: float
    exit_shares: tuple[float, ...]
    accuracy: float | None = None
    mae: float | None = None
    rmse: float | None = None

    @property
    def score(self) -> float:
        """Larger is better: the accuracy, or the negative mean absolute error."""
        if self.accuracy is not None:
            return self.accuracy
        assert self.mae is not None
        return -self.mae

    def __repr__(self) -> str:
        return f"Outcome({', '.join(f'{name} {value}' for name, value in self._facts())})"

    def _repr_html_(self) -> str:
        shares = self.exit_shares
        names = [f"{k}: {percent(share)}" for k, share in enumerate(shares, 1)]
        return html_facts(self._facts()) + html_bars(shares, names, "share of samples by exit")

    def _facts(self) -> list[tuple[str, str]]:
        scores = [("accuracy", self.accuracy, percent), ("mae", self.mae, figure)]
        return [
            ("policy", short_spec(self.policy.spec)),
            ("samples", str(len(self.table))),
            *((name, show(value)) for name, value, show in scores if value is not None),
            ("mean MACs", millions(self.mean_macs)),
            ("saving", percent(self.saving)),
        ]

    @property
    def logits(self) -> Tensor:
        """Output of the exit that each sample took (N K), copied out of the table when asked."""
        return self.table.logits[self.exit_index, torch.arange(len(self.table))]


def replay(table: ExitTable, policy: Policy) -> Outcome:
    """Shows recorded logits to a policy, exit by exit; every sample takes the exit that it would
    take in `infer`.

    Policies that are a `ReadingPolicy` are asked for all samples at once, about numbers that the
    table keeps for the next of them.

    Raises:
        ExeuntError: The policy is for another task.
    """
    expect("replay(table, policy)", "table", table, ExitTable)
    expect_policy("replay(table, policy)", policy)
    if isinstance(policy, ReadingPolicy):
        exit_index = _first_exits(table, policy)
    else:
        exit_index = _driven(table, policy)
    counts: list[int] = exit_index.bincount(minlength=table.num_exits).tolist()
    spent = sum(count * macs for count, macs in zip(counts, table.exit_macs, strict=True))
    said = table.all_predictions
    predictions = said.gather(0, exit_index.unsqueeze(0)).squeeze(0)
    return Outcome(
        table=table,
        policy=policy,
        exit_index=exit_index,
        predictions=predictions,
        mean_macs=spent / len(table),
        saving=1 - spent / (len(table) * table.exit_macs[-1]),
        exit_shares=tuple(count / len(table) for count in counts),
        **scores_of(table.task, predictions, table.targets),
    )


def _first_exits(table: ExitTable, policy: ReadingPolicy) -> Tensor:
    """The first exit at which the policy lets each sample go (N,); who has gone is asked on, which
    changes nothing, since a row's decision depends on that row alone.
    """
    policy.check_outputs(table.logits[0])
    exit_index = torch.full((len(table),), table.num_exits - 1)
    waiting = torch.ones(len(table), dtype=torch.bool)
    memory: Memory = ()
    for k in range(table.num_exits - 1):
        values = tuple(table.read(reading, k) for reading in policy.readings(k))
        leave, memory = policy.decide(k, values, memory)
        exit_index[leave & waiting] = k
        waiting &= ~leave
    return exit_index


def _driven(table: ExitTable, policy: Policy) -> Tensor:
    """The exits taken (N,) by a policy that wants to see the logits, in the loop of `infer`."""
    waiting = torch.arange(len(table))

    def recorded(k: int, keep: Tensor | None) -> Tensor:
        nonlocal waiting
        if keep is not None:
            waiting = waiting[keep]
        logits = table.of_exit(k)
        return logits if len(waiting) == len(logits) else logits[waiting]

    return drive(policy, table.num_exits, recorded).exit_index


def sweep(table: ExitTable, policies: Iterable[Policy]) -> list[Outcome]:
    """Replays several policies over one table, in the order given."""
    return [replay(table, policy) for policy in policies]
