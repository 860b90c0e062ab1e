"""Where a network runs."""

from __future__ import annotations

import torch

from exeunt.errors import ExeuntError


def usable_device(name: str) -> torch.device:
    """The device of that name, tried out.

    Raises:
        ExeuntError: when there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ExeuntError(f"device {name!r} cannot be used: {reason}") from error
    return device
