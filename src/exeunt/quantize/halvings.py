"""Powers of 2 below 1, as integers: the table that the C runtime has too."""

from __future__ import annotations

import torch

ONE_BITS = 20
HALVINGS = torch.tensor([round(2**ONE_BITS * 2 ** (-i / 256)) for i in range(256)])
"""2**(-i / 256), 2**20 being 1."""
