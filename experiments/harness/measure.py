"""What is written down of a trained network: on test images, by policies that others chose."""

from __future__ import annotations

import base64
import csv
import math
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exeunt import Classifier, Confidence, Consistency, Entropy, ExitTable, budgeted_curves, replay
from exeunt.evaluate import Outcome, scores
from exeunt.graph import build_graph
from exeunt.policies import Policy
from exeunt.profile.planned import streamed_memory

MOST_AGREEMENTS = 5  # k of the paper's Figures 4 and 7
CRITERIA = ("confidence", "entropy", "consistency")

CLASSIFICATION = (
    *("samples", "macs", "exits", "calibration_exits", "k_accuracy", "k_macs", "k_shares"),
    *(f"{name}_{what}" for name in CRITERIA for what in ("policy", "accuracy", "any", "macs")),
    *("right_last", *(f"{what}_{name}" for what in ("right", "any") for name in CRITERIA)),
)
"""Columns of `classification`. Lists are separated by blanks, one for each exit or each k, and for
each k the shares of all exits; `right` and `any` are one bit for each sample."""


def classification(clf: Classifier, data: Any, _: Path) -> dict[str, Any]:
    """All exits on test images, and each criterion at the threshold, or k, that is right most often
    on calibration images.

    `any` is what the paper reports: the share of samples that some exit on the way gets right.
    """
    return _classified(clf.record(data, "test"), clf.record(data, "calibration"))


def _classified(test: ExitTable, held_out: ExitTable) -> dict[str, Any]:
    """`classification`, from both recordings."""
    right = scores.right_classes(test)
    row = _of_exits(test, right)
    row["calibration_exits"] = _of_exits(held_out, scores.right_classes(held_out))["exits"]
    for name in CRITERIA if test.num_exits > 1 else ():
        outcome = replay(test, best(held_out, candidates(name, test)))
        taken = right.gather(0, outcome.exit_index[None])[0]
        way = right_on_the_way(right, outcome)
        row |= {
            f"{name}_policy": outcome.policy.spec,
            f"{name}_accuracy": round(taken.double().mean().item(), 4),
            f"{name}_any": round(way.double().mean().item(), 4),
            f"{name}_macs": round(outcome.mean_macs),
            f"right_{name}": packed(taken.numpy()),
            f"any_{name}": packed(way.numpy()),
        }
    counts = [replay(test, Consistency(k)) for k in agreements(test)]
    row["k_accuracy"] = listed(outcome.score for outcome in counts)
    row["k_macs"] = listed((outcome.mean_macs for outcome in counts), 0)
    row["k_shares"] = listed(share for outcome in counts for share in outcome.exit_shares)
    return row


def ram_bytes(clf: Classifier) -> int:
    """What the network needs of a microcontroller's RAM in int8, rows streamed."""
    return streamed_memory(build_graph(clf.net, clf.transform.image_size), "int8").total_bytes


BUDGETED = (*CLASSIFICATION, "budget_macs", "budget_accuracy")


def budgeted(clf: Classifier, data: Any, _: Path) -> dict[str, Any]:
    """`classification`, and budgeted batch prediction by thresholds from calibration images."""
    test, held_out = clf.record(data, "test"), clf.record(data, "calibration")
    row = _classified(test, held_out)
    (curve,) = (curve for curve in budgeted_curves(held_out, test) if curve.name == "geometric")
    row["budget_macs"] = listed((point.found.mean_macs for point in curve.points), 0)
    row["budget_accuracy"] = listed(point.found.score for point in curve.points)
    return row


HELD_OUT = ("samples", "macs", "exits", "right_first", "right_last")


def held_out(clf: Classifier, data: Any, _: Path) -> dict[str, Any]:
    """All exits on calibration images, of the weights whose last exit is best there."""
    table = clf.record(data, "calibration")
    right = scores.right_classes(table)
    return _of_exits(table, right) | {"right_first": packed(right[0].numpy())}


def _of_exits(table: ExitTable, right: torch.Tensor) -> dict[str, Any]:
    """What both kinds of rows say of the exits, from which are right (E N)."""
    return {
        "samples": len(table),
        "macs": listed(table.exit_macs, 0),
        "exits": listed(right.double().mean(dim=1).tolist()),
        "right_last": packed(right[-1].numpy()),
    }


CURVE = ("samples", "macs", "accuracy", "train_loss", "calibration_accuracy", "right_last")


def curve(clf: Classifier, data: Any, folder: Path) -> dict[str, Any]:
    """Of a network with one exit: the test accuracy, and how training went, epoch by epoch."""
    test = clf.record(data, "test")
    right = scores.right_classes(test)[0]
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        epochs = list(csv.DictReader(file))
    return {
        "samples": len(test),
        "macs": test.exit_macs[0],
        "accuracy": round(right.double().mean().item(), 4),
        "train_loss": listed(float(epoch["train_loss_1"]) for epoch in epochs),
        "calibration_accuracy": listed(float(epoch["calibration_accuracy_1"]) for epoch in epochs),
        "right_last": packed(right.numpy()),
    }


REGRESSION = ("samples", "macs", "exits", "policies", "policy_mae", "policy_macs")


def regression(clf: Classifier, data: Any, _: Path) -> dict[str, Any]:
    """Mean absolute errors of all exits, and of consistency (equation 11) for several tolerances,
    which are shares of the spread of the last exit's values on calibration images.
    """
    test, held_out = clf.record(data, "test"), clf.record(data, "calibration")
    spread = held_out.logits[-1].std(correction=0).item()
    policies = [
        Consistency(k, round(share * spread, 6))
        for k in range(1, test.num_exits)
        for share in (0.02, 0.05, 0.1, 0.2, 0.5)
    ]
    outcomes = [replay(test, policy) for policy in policies]
    errors = (test.logits[..., 0] - test.targets).abs().mean(dim=1)
    return {
        "samples": len(test),
        "macs": listed(test.exit_macs, 0),
        "exits": listed(errors.tolist()),
        "policies": " ".join(policy.spec for policy in policies),
        "policy_mae": listed(-outcome.score for outcome in outcomes),
        "policy_macs": listed((outcome.mean_macs for outcome in outcomes), 0),
    }


def agreements(table: ExitTable) -> range:
    """The k that differ from asking nobody."""
    return range(1, min(MOST_AGREEMENTS, table.num_exits - 1) + 1)


def candidates(criterion: str, table: ExitTable) -> Sequence[Policy]:
    """Of one criterion, what there is to choose from."""
    if criterion == "consistency":
        return [Consistency(k) for k in agreements(table)]
    if criterion == "confidence":
        return [Confidence(step / 40) for step in range(20, 40)] + [Confidence(0.99)]
    most = math.log(table.logits.shape[2])
    return [Entropy(most * step / 40) for step in range(1, 21)]


def best(table: ExitTable, policies: Iterable[Policy]) -> Policy:
    """The one that is right most often; of equal ones the cheapest."""
    outcomes = [replay(table, policy) for policy in policies]
    return max(outcomes, key=lambda outcome: (outcome.score, -outcome.mean_macs)).policy


def right_on_the_way(right: torch.Tensor, outcome: Outcome) -> torch.Tensor:
    """Whether an exit up to the one taken gets a sample right (N), from right (E N)."""
    asked = torch.arange(len(right))[:, None] <= outcome.exit_index
    return (right & asked).any(dim=0)


def listed(values: Iterable[float], digits: int = 4) -> str:
    """Numbers with blanks between them."""
    return " ".join(f"{value:.{digits}f}" for value in values)


def numbers(text: str) -> list[float]:
    """What `listed` wrote."""
    return [float(word) for word in text.split()]


def packed(right: NDArray[np.bool_]) -> str:
    """One bit for each sample, as text, so that runs can be compared sample by sample."""
    return base64.b64encode(zlib.compress(np.packbits(right).tobytes(), 9)).decode()


def unpacked(text: str, samples: int) -> NDArray[np.bool_]:
    """What `packed` wrote."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=samples).astype(bool)
