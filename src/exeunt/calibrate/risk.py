"""A policy with a guarantee on what is lost against the full network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from exeunt.calibrate.binomial import at_most, least_share, samples_needed
from exeunt.calibrate.criteria import Criterion
from exeunt.calibrate.held_out import refuse_test
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, replay
from exeunt.policies import Confidence, Consistency, Entropy, Every, Full, Policy, Threshold

_SIGMOIDS = [1 / (1 + math.exp(-step / 20)) for step in range(240, -121, -1)]


@dataclass(frozen=True)
class Guarantee:
    """What calibration promises of a policy for images like those it was calibrated on.

    Attributes:
        policy: The policy.
        max_loss: The share of images that are lost by leaving early is at most this ...
        probability: ... with this probability over the choice of the calibration images.
        losses: How many of the calibration images were lost.
        samples: How many there were.
    """

    policy: Policy
    max_loss: float
    probability: float
    losses: int
    samples: int


def guaranteed_policy(
    table: ExitTable,
    max_loss: float,
    probability: float = 0.95,
    criterion: Criterion = Confidence,
    *,
    patient: bool = False,
    tolerance: float | None = None,
    policies: Iterable[Policy] | None = None,
) -> Guarantee:
    """The most eager policy of which it is certain enough that little is lost by leaving early.

    An image is *lost* if the last exit is right and the exit taken is wrong; for regression, if
    the absolute error at the exit taken exceeds that of the last exit by more than `tolerance`.
    The share of lost images bounds what the accuracy can fall by. With probability `probability`
    over calibration images drawn independently, the policy loses at most a share `max_loss` of the
    images that these were drawn from.

    Learn then test (Angelopoulos et al., 2021) with fixed-sequence testing: policies in an order
    that does not depend on the table, from never leaving to ever more eager, are tested one after
    the other with the exact binomial (Clopper-Pearson) test at level 1 - `probability`; the last
    one before the first failure is taken, `Full` if there is none.

    Args:
        table: Of the calibration split.
        max_loss: Share of images, between 0 and 1.
        probability: Of the promise, between 0 and 1.
        criterion: `Confidence`, `Margin` or `Entropy` with one threshold for all exits, or
            `Consistency`; regression has the latter only, with k = 1 and growing tolerances.
        patient: Join the thresholds with `Consistency(1)`.
        tolerance: In units of the targets, for regression.
        policies: To be tested instead, in this order, which must have been fixed before anything
            was known of this table.

    Raises:
        ExeuntError: The table is of the test split, is too small to promise anything, or has not
            what the criterion reads; or a number is out of its range.
    """
    refuse_test(table)
    for name, value in (("max_loss", max_loss), ("probability", probability)):
        if not 0 < value < 1:
            raise ExeuntError(f"{name} must lie between 0 and 1, not at {value}")
    needed = samples_needed(max_loss, probability)
    if len(table) < needed:
        raise ExeuntError(
            f"{len(table)} images cannot show a loss of at most {max_loss:g} with probability "
            f"{probability:g}: that takes {needed}, and more if one of them is lost. Give "
            f"{_rounded_up(least_share(len(table), probability))} or more, which so many can show, "
            "or hold out more images (--calibration-fraction of `exeunt train`)"
        )
    if (table.task == "regression") != (tolerance is not None):
        raise ExeuntError(
            "a tolerance, in units of the targets, says what counts as lost in regression; "
            "it is needed there and has no meaning for classes"
        )
    if tolerance is not None and not 0 < tolerance < math.inf:
        raise ExeuntError(f"tolerance must be a finite number > 0, got {tolerance}")
    if policies is None:
        policies = _family(table, criterion, patient, tolerance)
    best: Policy = Full()
    fewest = 0
    for policy in policies:
        losses = int(lost(table, policy, tolerance).sum())
        if at_most(losses, len(table), max_loss) > 1 - probability:
            break
        best, fewest = policy, losses
    return Guarantee(best, max_loss, probability, fewest, len(table))


def _rounded_up(share: float) -> str:
    """In two digits: `0.027`."""
    unit = 10.0 ** (math.floor(math.log10(share)) - 1)
    return f"{math.ceil(share / unit - 1e-9) * unit:.2g}"


def lost(table: ExitTable, policy: Policy, tolerance: float | None = None) -> Tensor:
    """Which samples are lost by leaving early (N), as `guaranteed_policy` has it."""
    taken, full = replay(table, policy).predictions, table.predictions(table.num_exits - 1)
    if table.task == "classification":
        return (taken != table.targets) & (full == table.targets)
    assert tolerance is not None
    early, late = ((values.double() - table.targets).abs() for values in (taken, full))
    return early > late + tolerance


def _family(
    table: ExitTable, criterion: Criterion, patient: bool, tolerance: float | None
) -> list[Policy]:
    """Policies from cautious to eager; of the table, only the shape of the logits is looked at."""
    if not issubclass(criterion, Threshold):
        if tolerance is not None:
            return [Consistency(1, tolerance * 2 ** (step / 4)) for step in range(-40, 25)]
        return [Consistency(k) for k in reversed(range(1, table.num_exits))]
    thresholds: list[Threshold]
    if issubclass(criterion, Entropy):
        most_nats = math.log(table.logits.shape[2])
        thresholds = [criterion(most_nats * (1 - share)) for share in _SIGMOIDS]
    else:
        thresholds = [criterion(share) for share in _SIGMOIDS]
    if patient:
        return [Every((Consistency(1), threshold)) for threshold in thresholds]
    return list(thresholds)
