"""Runs beside another, on the same test images.

    python experiments/paired.py DATA RUN OTHER...

For each exit: the accuracy of all, how many points each OTHER is better than RUN, with a 95 %
interval for paired shares (Bonett and Price 2012), and the share of images that both answer alike.
"""

from __future__ import annotations

import sys

import torch

import exeunt
from exeunt.evaluate import scores
from exeunt.evaluate.interval import paired


def main(data: str, run: str, others: list[str]) -> None:
    first = exeunt.load(run).record(data, "test")
    right = scores.right_classes(first)
    print(f"{run}: {_percent(right.double().mean(1))} % of {len(first)} test images")
    for other in others:
        table = exeunt.load(other).record(data, "test")
        better = scores.right_classes(table)
        print(f"{other}: {_percent(better.double().mean(1))} %")
        gains = []
        for one, two in zip(right, better, strict=True):
            won, lost = int((two & ~one).sum()), int((one & ~two).sum())
            low, high = paired(won, lost, len(first))
            gains.append(
                f"{100 * (won - lost) / len(first):+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
            )
        print(f"  better by {', '.join(gains)} points")
        alike = (first.logits.argmax(2) == table.logits.argmax(2)).double().mean(1)
        print(f"  answers alike {_percent(alike)} %", flush=True)


def _percent(shares: torch.Tensor) -> str:
    return " ".join(f"{100 * share:.1f}" for share in shares.tolist())


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
