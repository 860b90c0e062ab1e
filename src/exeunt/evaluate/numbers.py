"""Arrays of any make as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from exeunt.errors import ExeuntError


def as_tensor(name: str, values: Any) -> Tensor:
    """Numbers of torch, NumPy or lists as a tensor in main memory, without its gradient.

    Args:
        name: What they are, for the message.
        values: The numbers; bfloat16 of `ml_dtypes` becomes float32.

    Raises:
        ExeuntError: They are no numbers, or of different lengths.
    """
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        array = np.asarray(values)
        if array.dtype.name == "bfloat16":
            array = array.astype(np.float32)
        return torch.from_numpy(np.require(array, requirements=("C", "W")))
    except (TypeError, ValueError) as error:
        kind = type(values).__name__
        raise ExeuntError(f"{name}: no array of numbers can be made of this {kind}") from error
