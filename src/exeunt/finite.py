"""NaN and infinities, refused where numbers come in: weights, and what a network says.

They spread without a sound: a comparison with NaN is false, so no policy would ever let such an
image go, and its answer would be one all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from torch import Tensor

from exeunt.errors import ExeuntError


def all_finite(numbers: Tensor) -> bool:
    """Whether no number is NaN or infinite.

    A sum with one of them is none either, and reads every number once (`sum(dtype=...)` takes half
    precision one by one); a sum that is itself too large needs the second look.
    """
    if not numbers.is_floating_point():
        return True
    return math.isfinite(numbers.float().sum()) or bool(numbers.isfinite().all())


def require_finite_weights(tensors: Iterable[tuple[str, Tensor]], where: str) -> None:
    """Refuses weights that are NaN or infinite.

    Args:
        tensors: by name.
        where: they come from, for the message.

    Raises:
        ExeuntError: naming the first tensor with how many there are, and how many others have some.
    """
    bad = [(name, tensor) for name, tensor in tensors if not all_finite(tensor)]
    if not bad:
        return
    name, tensor = bad[0]
    others = f" and {len(bad) - 1} other tensor(s) have some, too" if len(bad) > 1 else ""
    raise ExeuntError(
        f"{where}: {name} has {_counted(tensor)}{others}; weights must be finite. Take those of an "
        "earlier epoch, or train again with a smaller lr or a longer warm-up"
    )


def require_finite_logits(logits: Tensor, exit_index: int, name: Callable[[int], str]) -> None:
    """Refuses what an exit says if some of it is NaN or infinite.

    Args:
        logits: of one exit (N K).
        exit_index: from 0.
        name: of a row, for the message.

    Raises:
        ExeuntError: naming the exit and the first such row.
    """
    if all_finite(logits):
        return
    rows = (~logits.isfinite()).flatten(1).any(1).nonzero()[:, 0].tolist()
    others = f", and so are those of {len(rows) - 1} other(s)" if len(rows) > 1 else ""
    raise ExeuntError(
        f"exit {exit_index + 1}: the logits of {name(rows[0])} are not finite "
        f"({_counted(logits[rows[0]])}){others}; the weights, or the image itself, take numbers "
        "beyond float32"
    )


def _counted(numbers: Tensor) -> str:
    """As "3 NaN and 1 infinite of 432 numbers"."""
    nan, infinite = int(numbers.isnan().sum()), int(numbers.isinf().sum())
    found = [f"{nan} NaN"] * (nan > 0) + [f"{infinite} infinite"] * (infinite > 0)
    return f"{' and '.join(found)} of {numbers.numel()} numbers"
