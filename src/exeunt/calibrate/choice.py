"""Choosing a policy on held-out samples: the largest saving that keeps the accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from exeunt.calibrate.binomial import samples_needed
from exeunt.calibrate.budget import exit_costs
from exeunt.calibrate.confidence import confidence_scores, correctness, threshold_policy
from exeunt.calibrate.criteria import Criterion
from exeunt.calibrate.held_out import refuse_test
from exeunt.calibrate.risk import guaranteed_policy
from exeunt.calibrate.thresholds import FOLDS, best_thresholds, cross_validated
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, Outcome, difference_interval, paired, replay, sweep
from exeunt.policies import (
    Confidence,
    Consistency,
    Entropy,
    Every,
    Full,
    PerExit,
    Policy,
    Threshold,
)

_HALVINGS = 8
_MARGIN = 0.02
_PER_TOLERANCE = 4  # of the tolerance, where that is more than the default margin
_LEAST_VALUES = 30  # fewer say too little of the spread of an error
_LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Choice:
    """What `choose_policy` found.

    Attributes:
        outcome: Of the policy to use, on the table.
        best: Of the one that saves most within the tolerance; another where the table is too small
            to show that it loses no more than the margin on other samples.
        full: Of the last exit.
        interval: How much better `best` scores than the last exit, at 95 %: accuracy, 0 to 1, or
            mean absolute error, whose sign is changed.
        margin: What may be lost on other samples, in the same unit.
    """

    outcome: Outcome
    best: Outcome
    full: Outcome
    interval: tuple[float, float]
    margin: float

    @property
    def policy(self) -> Policy:
        return self.outcome.policy

    @property
    def shown(self) -> bool:
        """Whether the table shows that the best policy loses no more than the margin."""
        return self.outcome is self.best

    def __str__(self) -> str:
        """What was chosen and why, in a sentence or two."""
        if self.best.saving == 0:
            return "no policy saves anything at this accuracy; nobody leaves early"
        table = self.best.table
        low, high = self.interval
        against = (
            f"{self._gain(self.best.score - self.full.score)} against exit "
            f"{table.num_exits} on {len(table)} calibration images, 95 %: "
            f"{self._span(low, high)}"
        )
        if self.shown:
            return f"{_what(self.best)}: {against}"
        instead = _what(self.outcome)
        return (
            f"{len(table)} calibration images cannot tell the exits apart. Most would be saved if "
            f"{_what(self.best)} ({against}), and that may lose more than {self._size(self.margin)}"
            f". Stored is what is safe: {instead}.{self._way_out()}"
        )

    def _way_out(self) -> str:
        """How many samples would do if they did the same, and what to do without them."""
        table, gain = self.best.table, self.best.score - self.full.score
        low, high = self.interval
        reach = (high - low) / 2
        if not math.isfinite(reach) or gain + self.margin <= 0:
            return " Hold out more images, or choose by what may be spent"
        needed = len(table) * (reach / (gain + self.margin)) ** 2
        return (
            f" Hold out more images, of which about {_two_digits(needed)} may be enough, or choose "
            "by what may be spent"
        )

    def _gain(self, value: float) -> str:
        if self.best.accuracy is None:
            return f"{-value:+.3g} error"
        return f"{100 * value:+.1f} points"

    def _span(self, low: float, high: float) -> str:
        if self.best.accuracy is None:
            return f"{-high:+.3g} to {-low:+.3g}"
        return f"{100 * low:+.1f} to {100 * high:+.1f} points"

    def _size(self, value: float) -> str:
        return (
            f"an error of {value:.3g}" if self.best.accuracy is None else f"{100 * value:g} points"
        )


def _what(outcome: Outcome) -> str:
    """A policy by what it does; one that always does the same has chosen nothing."""
    exits = outcome.table.num_exits
    for k, share in enumerate(outcome.exit_shares, 1):
        if share == 1 and exits > 1:
            return "nobody leaves early" if k == exits else f"everybody leaves at exit {k}"
    return f"images leave by {outcome.policy}"


def _two_digits(number: float) -> str:
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / unit) * unit:,}"


def choose_policy(
    table: ExitTable,
    *,
    tolerance: float = 0.005,
    margin: float | None = None,
    criterion: Criterion | None = None,
    patient: bool = False,
    temperature: PerExit = 1.0,
    per_exit: bool = True,
) -> Choice:
    """Finds the policy that spends least among those about as good as the last exit.

    Classification: its accuracy on this table is at least that of the last exit minus
    `tolerance`. Regression: its mean absolute error is at most that of the last exit plus
    `tolerance` times the standard deviation of the targets. Ties go to the better score, then to
    the simpler policy; where nothing saves, the answer is `Full()`.

    Many settings are tried that are one for all exits: counts, confidences and entropies. Then
    exits get thresholds of their own, if these save more. These are the best of a budget, and it
    is the least at which samples stay right by thresholds that other samples chose
    (cross-validation): so many numbers fit the samples that they are chosen on better than others.
    Where the tolerance is less than one sample, one threshold is all that so few can tell.

    A table of few samples shows little: exits that seem equal may differ by ten points. The best
    policy is therefore taken only if the 95 % interval of what it loses, paired sample by sample
    (`exeunt.evaluate.paired`), ends within the margin. Elsewhere the answer is what
    `guaranteed_policy` promises for that margin where it needs no more samples, and else `Full()`.

    Args:
        table: Recorded on a split that is not the test split.
        tolerance: What may be lost on this table, 0.005 being half a percentage point of accuracy.
        margin: What may be lost on other samples, in the same unit; 0.02 or four times the
            tolerance by default, whichever is more. Infinity asks for nothing.
        criterion: Only policies of this kind are tried.
        patient: Thresholds are joined with every `Consistency(k)`, and are one for all exits.
        temperature: Of the softmax, one for all exits, or one for each.
        per_exit: Whether exits may have thresholds of their own.

    Raises:
        ExeuntError: The table is of the test split or has not what the criterion reads, or the
            tolerance or the margin is negative.
    """
    refuse_test(table)
    if not 0 <= tolerance < math.inf:
        raise ExeuntError(f"tolerance must be a finite number >= 0, got {tolerance}")
    if margin is None:
        margin = max(_MARGIN, _PER_TOLERANCE * tolerance)
    if not margin >= 0:
        raise ExeuntError(f"margin must be a number >= 0, got {margin}")
    in_samples = tolerance * len(table)
    if table.task == "regression":
        spread = table.targets.double().std(correction=0).item()
        tolerance, margin = tolerance * spread, margin * (spread or 1.0)
    full = replay(table, Full())
    floor = full.score - tolerance

    def good_enough(outcome: Outcome) -> bool:
        return outcome.score >= floor or math.isclose(outcome.score, floor)

    tried = sweep(table, _candidates(table, criterion, patient, temperature))
    found = max([full, *filter(good_enough, tried)], key=_rank)
    kind = criterion or Confidence
    few = in_samples < 1 or len(table) < FOLDS or table.num_exits == 1
    if (
        not (table.task == "regression" or patient or few)
        and per_exit
        and issubclass(kind, Threshold)
    ):
        more = _per_exit(table, kind, temperature, floor, found.mean_macs)
        found = max([found, *filter(good_enough, more)], key=_rank)
    interval = _gain_interval(found, full)
    chosen = found
    if found is not full and interval[0] < -margin:
        plain = temperature == 1.0 and table.task == "classification"
        chosen = _promised(table, margin, kind, patient) if plain else full
    return Choice(chosen, found, full, interval, margin)


def _gain_interval(outcome: Outcome, full: Outcome) -> tuple[float, float]:
    """How much better than the last exit it does on other samples, at 95 %."""
    table = outcome.table
    if table.task == "classification":
        right, full_right = (o.predictions == table.targets for o in (outcome, full))
        won, lost = int((right & ~full_right).sum()), int((full_right & ~right).sum())
        return paired(won, lost, len(table), _LEVEL)
    if len(table) < _LEAST_VALUES:
        return -math.inf, math.inf
    low, high = difference_interval(table, outcome, full, _LEVEL)
    return -high, -low


def _promised(table: ExitTable, margin: float, criterion: Criterion, patient: bool) -> Outcome:
    """What can be promised to lose no more than the margin; nobody leaves early where so few
    samples can promise nothing.
    """
    policy: Policy = Full()
    if 0 < margin < 1 and samples_needed(margin, _LEVEL) <= len(table):
        policy = guaranteed_policy(table, margin, _LEVEL, criterion, patient=patient).policy
    return replay(table, policy)


def _rank(outcome: Outcome) -> tuple[float, float]:
    return outcome.saving, outcome.score


def _per_exit(
    table: ExitTable,
    criterion: type[Threshold],
    temperature: PerExit,
    floor: float,
    budget: float,
) -> Iterator[Outcome]:
    """What thresholds do at the least budget at which others are right often enough, found by
    bisection, if that is below the one given.
    """
    confidence, right = confidence_scores(table, criterion, temperature), correctness(table)
    costs = exit_costs(table, None)
    accuracy = cross_validated(confidence, right, costs)
    least, most = float(costs[0]), budget
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if accuracy(middle) >= floor:
            most = middle
        else:
            least = middle
    if most < budget:
        thresholds = best_thresholds(confidence, right, costs)(most)
        yield replay(table, threshold_policy(criterion, thresholds, temperature))


def _candidates(
    table: ExitTable, criterion: Criterion | None, patient: bool, temperature: PerExit
) -> list[Policy]:
    """All policies that are tried, the simplest first."""
    counts = range(1, table.num_exits)
    if table.task == "regression" and criterion in (None, Consistency):
        spread = table.logits[-1].std(correction=0).item()
        etas = [spread * 2 ** (-step / 2) for step in range(20) if spread > 0]
        return [Consistency(k, eta) for k in counts for eta in etas]
    if isinstance(temperature, tuple):
        temperature = temperature[: table.num_exits - 1]
    most_nats = math.log(max(table.logits.shape[2], 2))
    thresholds: list[Threshold] = []
    for kind in (Confidence, Entropy) if criterion is None else (criterion,):
        if issubclass(kind, Entropy):
            thresholds += [kind(most_nats * 2 ** (-step / 4), temperature) for step in range(1, 41)]
        elif issubclass(kind, Threshold):
            shares = [*(step / 50 for step in range(1, 50)), 0.99, 0.995, 0.999]
            thresholds += [kind(share, temperature) for share in shares]
    if patient:
        return [Every((Consistency(k), threshold)) for k in counts for threshold in thresholds]
    alone = [Consistency(k) for k in counts] if criterion in (None, Consistency) else []
    return [*alone, *thresholds]
