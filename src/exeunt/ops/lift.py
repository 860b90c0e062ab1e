"""LiftPool's way down: a learned wavelet that loses nothing (Zhao, Snoek: ICLR 2021)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.sizes import require_map, require_positive

_ROWS, _COLUMNS = 2, 3  # axes of (N, C, H, W)


class Lift(nn.Module):
    """One lifting step: the lines of a map along one axis become an approximation and a detail.

    `d = odd - predict(even)`, `s = even + update(d)`. Both filters are convolution, ReLU, 1x1
    convolution, tanh. Where the number of lines is odd, the last is repeated.

    Args:
        channels: C.
        kernel_size: lines that a filter sees, an odd number.
        axis: 2 to split rows, 3 to split columns.
        depthwise: whether the filters' first convolution keeps the channels apart.
    """

    def __init__(self, channels: int, kernel_size: int, axis: int, depthwise: bool) -> None:
        super().__init__()
        self.axis = axis
        self.predict = self._filter(channels, kernel_size, depthwise)
        self.update = self._filter(channels, kernel_size, depthwise)

    def _filter(self, channels: int, kernel_size: int, depthwise: bool) -> nn.Sequential:
        kernel = (kernel_size, 1) if self.axis == _ROWS else (1, kernel_size)
        groups = channels if depthwise else 1
        parts: list[tuple[str, nn.Module]] = [
            ("conv", nn.Conv2d(channels, channels, kernel, padding="same", groups=groups)),
            ("act", nn.ReLU(inplace=True)),
            ("mix", nn.Conv2d(channels, channels, 1)),
            ("bound", nn.Tanh()),
        ]
        return nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Approximation and detail of x, each with half its lines, rounded up."""
        even, odd = self.split(x)
        detail = odd - self.predict(even)
        return even + self.update(detail), detail

    def inverse(self, approximation: Tensor, detail: Tensor, lines: int) -> Tensor:
        """The map of that many lines whose approximation and detail these are."""
        even = approximation - self.update(detail)
        odd = detail + self.predict(even)
        both = torch.stack((even, odd), self.axis + 1).flatten(self.axis, self.axis + 1)
        return both.narrow(self.axis, 0, lines)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Even and odd lines, as many of each."""
        if x.shape[self.axis] % 2:
            x = torch.cat([x, x.narrow(self.axis, x.shape[self.axis] - 1, 1)], self.axis)
        even, odd = torch.unflatten(x, self.axis, (-1, 2)).unbind(self.axis + 1)
        return even, odd


class LiftDownPool2d(nn.Module):
    """Halves a map by lifting it along both axes: (N, C, H, W) to (N, C, ceil(H/2), ceil(W/2)).

    Columns are split into approximation and detail, then the rows of each: four bands LL, LH, HL,
    HH (the first letter is the columns'), from which `inverse` gives the map back. The output is
    their sum. Three `Lift`s: `across`, `down_low`, `down_high`.

    In training, `auxiliary_loss` holds what the paper adds to the loss, summed over the three:
    `predict_weight * mean(d**2)`, for small details, and `update_weight * mean((s - a)**2)`, a the
    mean of each even and odd line, so that the approximation stays one. (The paper prints norms
    without saying how they scale; means make the weights independent of the image size.)

    Args:
        channels: C.
        kernel_size: lines that a filter sees, an odd number.
        depthwise: whether the filters' first convolution keeps the channels apart.
        predict_weight: of the details' regulariser.
        update_weight: of the approximation's.

    Raises:
        ExeuntError: for sizes below 1, an even kernel or a negative weight.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 5,
        depthwise: bool = True,
        predict_weight: float = 0.1,
        update_weight: float = 0.01,
    ) -> None:
        super().__init__()
        require_positive("LiftDownPool2d", channels=channels, kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ExeuntError(f"LiftDownPool2d: kernel_size={kernel_size}; give an odd number")
        for name, weight in (("predict_weight", predict_weight), ("update_weight", update_weight)):
            if not weight >= 0:
                raise ExeuntError(f"LiftDownPool2d: {name}={weight!r}; give a number from 0 on")
        self.channels = channels
        self.predict_weight = predict_weight
        self.update_weight = update_weight
        self.across = Lift(channels, kernel_size, _COLUMNS, depthwise)
        self.down_low = Lift(channels, kernel_size, _ROWS, depthwise)
        self.down_high = Lift(channels, kernel_size, _ROWS, depthwise)
        self._penalty: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        ll, lh, hl, hh = self.bands(x)
        return ll + lh + hl + hh

    def bands(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """LL, LH, HL and HH, each (N, C, ceil(H/2), ceil(W/2)).

        Raises:
            ExeuntError: when x is not (N, channels, H, W).
        """
        require_map("LiftDownPool2d", x, self.channels)
        low, high = self.across(x)
        ll, lh = self.down_low(low)
        hl, hh = self.down_high(high)
        if self.training:
            self._penalty = (
                self._regularise(self.across, x, low, high)
                + self._regularise(self.down_low, low, ll, lh)
                + self._regularise(self.down_high, high, hl, hh)
            )
        return ll, lh, hl, hh

    def inverse(
        self, bands: tuple[Tensor, Tensor, Tensor, Tensor], size: tuple[int, int]
    ) -> Tensor:
        """The map (N, C, H, W) that has these bands; `size` is its (H, W).

        Raises:
            ExeuntError: when a map of that size has bands of another.
        """
        ll, lh, hl, hh = bands
        height, width = size
        halves = (-(-height // 2), -(-width // 2))
        if halves != tuple(ll.shape[2:]):
            raise ExeuntError(
                f"LiftDownPool2d: a map of {height} x {width} has bands of "
                f"{halves[0]} x {halves[1]}, not of {ll.shape[2]} x {ll.shape[3]}"
            )
        low = self.down_low.inverse(ll, lh, height)
        high = self.down_high.inverse(hl, hh, height)
        return self.across.inverse(low, high, width)

    def auxiliary_loss(self) -> Tensor:
        """The weighted regularisers of the last pass in training mode, a scalar; 0 before any."""
        if self._penalty is None:
            return next(self.parameters()).new_zeros(())
        return self._penalty

    def _regularise(self, lift: Lift, x: Tensor, approximation: Tensor, detail: Tensor) -> Tensor:
        even, odd = lift.split(x)
        small = F.mse_loss(detail, torch.zeros_like(detail))
        close = F.mse_loss(approximation, (even + odd) / 2)
        return self.predict_weight * small + self.update_weight * close

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the last pass behind: a tensor with a history can be neither copied nor saved."""
        return {**self.__dict__, "_penalty": None}
