"""The policies that a page lets its reader choose from, in the numbers that the C compares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from exeunt.errors import ExeuntError
from exeunt.export.c.float32 import perplexities
from exeunt.policies import Confidence, Consistency, Full, Margin, Policy
from exeunt.policies.conditions import Conditions
from exeunt.quantize.policy import IntegerPolicy
from exeunt.quantize.scale import Scale
from exeunt.text import short_spec

Json = dict[str, Any]

_SHARES = (*(step / 100 for step in range(100)), 0.995, 0.999, 1.0)


@dataclass(frozen=True)
class Choices:
    """Policies over one net's scores.

    Attributes:
        exits: E of them.
        scales: of each exit's scores, for int8; None for float32.
    """

    exits: int
    scales: Sequence[Scale] | None

    def kinds(self, stored: Policy) -> list[Json]:
        """Kinds of policies: `name`, `title`, `parameter`, `note`, and `settings` from the one that
        spends least to the one that spends most.
        """
        kinds = [
            self._kind("stored", "", "The policy that was exported.", [(stored, "")]),
            self._kind(
                "confidence",
                "Confidence at least",
                "Leaves at the first exit whose largest probability reaches the threshold.",
                ((Confidence(share), f"{share:g}") for share in _SHARES),
            ),
            self._kind(
                "margin",
                "Margin at least",
                "Leaves at the first exit whose two largest probabilities are this far apart.",
                ((Margin(share), f"{share:g}") for share in _SHARES),
            ),
            self._kind(
                "consistency",
                "Agreements in a row",
                "Leaves once the class has stayed the same this many times in a row.",
                ((Consistency(k), str(k)) for k in range(1, self.exits)),
            ),
            self._kind("full", "", "No image leaves before the last exit.", [(Full(), "")]),
        ]
        return [kind for kind in kinds if kind["settings"]]

    def _kind(
        self, name: str, parameter: str, note: str, policies: Iterable[tuple[Policy, str]]
    ) -> Json:
        title = {"full": "Whole net"}.get(name, name.capitalize())
        settings = [self._setting(policy) | {"shown": shown} for policy, shown in policies]
        return {
            "name": name,
            "title": title,
            "parameter": parameter,
            "note": note,
            "settings": settings,
        }

    def _setting(self, policy: Policy) -> Json:
        """`spec`, also in `short`; `patience`; and at every exit but the last `confidence`,
        `margin`, `perplexity` and `softness`, as the C has them, None where they are not asked for
        or never hold.

        Raises:
            ExeuntError: for a policy over values, which the page does not show.
        """
        told: Json = {"spec": policy.spec, "short": short_spec(policy.spec)}
        conditions = Conditions.of(policy, self.exits)
        if conditions.eta is not None:
            raise ExeuntError(f"policy {policy.spec!r}: a page shows classes, not values")
        if self.scales is not None:
            asked = IntegerPolicy.of(policy, self.scales)
            return told | {
                "patience": asked.patience,
                "confidence": asked.confidence,
                "margin": asked.margin,
                "perplexity": asked.perplexity,
                "softness": asked.softness,
            }
        levels = {name: _finite(values) for name, values in conditions.thresholds.items()}
        return told | {
            "patience": conditions.patience,
            "confidence": levels.get("confidence"),
            "margin": levels.get("margin"),
            "perplexity": perplexities(conditions.thresholds.get("entropy")),
            "softness": list(conditions.temperatures) if levels else None,
        }


def _finite(values: Iterable[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
