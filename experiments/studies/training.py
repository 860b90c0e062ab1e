"""The training claim of the ReX paper: all exits at once, not one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.claims import Claim, compared
from harness.measure import CLASSIFICATION, classification
from harness.results import Row
from harness.study import Study

from exeunt import MultiExitNet, register_regime
from exeunt.training.regimes import ExitsOnly, Mixed
from studies.recipes import ADAMW
from studies.table3 import REX
from studies.table3 import STUDY as TABLE3


@register_regime(name="exits_alone")
class ExitsAlone(Mixed):
    """The trunks and the last exit learn in the first half of the epochs, then the exits alone."""

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        if epoch < self.turn:
            super().prepare(net, epoch)
        else:
            ExitsOnly.prepare(self, net, epoch)  # type: ignore[arg-type]


REGIMES = {"successive": "successive", "exits alone": "exits_alone"}
STUDY = Study(
    "training",
    "ReX, equation 12: joint training",
    tuple(
        replace(REX, name=name, settings=ADAMW | {"regime": regime}, seeds=(0,))
        for name, regime in REGIMES.items()
    ),
    TABLE3.scales,
    classification,
    CLASSIFICATION,
)


def claims(rows: Sequence[Row], joint: Sequence[Row]) -> list[Claim]:
    """Joint training against the others, at equal epochs."""
    together = [*rows, *(row for row in joint if row["run"] == REX.name)]
    return [
        compared(
            together,
            f"all exits at once is better than {name}, at the last exit",
            "better, no figure",
            (REX.name, name),
            "right_last",
        )
        for name in REGIMES
    ]
