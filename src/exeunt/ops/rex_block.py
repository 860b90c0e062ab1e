"""ReX as a block of a network: the paper's operator, and what makes it train better.

`ReX2d` alone is the paper's form. A `ReXForm` says what else a network may put around it; forms
that have proved themselves have names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.recurrence import start_recurrent
from exeunt.ops.rex import ReX2d


@dataclass(frozen=True)
class ReXForm:
    """What a network makes of ReX; the defaults are the paper's.

    Attributes:
        cell: of both RNNs, as `ReX2d` takes it.
        norm: batch norm behind ReX.
        act: ReLU6 behind that.
        pooled: a straight path beside ReX: average pooling with the stride, a 1x1 convolution and
            batch norm, added to what ReX gives (behind its norm).
        remember: start the cells so that they remember, see `start_recurrent`.
        hidden1: state size of the first RNN.
        patch_size: pixels of a patch.
    """

    cell: str = "gru"
    norm: bool = False
    act: bool = False
    pooled: bool = False
    remember: bool = False
    hidden1: int = 16
    patch_size: int = 6

    @classmethod
    def of(cls, form: str | Mapping[str, Any]) -> ReXForm:
        """A form by name, or from what differs from the paper's.

        Raises:
            ExeuntError: for a name or a key that is not there, or a value of another type.
        """
        if isinstance(form, str):
            if form not in REX_FORMS:
                raise ExeuntError(f"unknown form of ReX {form!r}; one of {', '.join(REX_FORMS)}")
            return REX_FORMS[form]
        kinds = {field.name: type(field.default) for field in fields(cls)}
        for key, value in form.items():
            if key not in kinds:
                raise ExeuntError(f"form of ReX: unknown key {key!r}; one of {', '.join(kinds)}")
            if type(value) is not kinds[key]:
                raise ExeuntError(f"form of ReX: {key}={value!r}; give a {kinds[key].__name__}")
        return cls(**form)


REX_FORMS: dict[str, ReXForm] = {"paper": ReXForm()}
"""By name."""


class ReXBlock(nn.Module):
    """ReX with what `form` puts around it: (N, C, H, W) to (N, out_channels, H', W').

    Args:
        in_channels: C.
        out_channels: a multiple of 8.
        stride: distance of neighbouring patches, along both axes.
        form: what is around ReX.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, form: ReXForm) -> None:
        super().__init__()
        sizes = form.hidden1, out_channels // 8, form.patch_size, stride
        self.rex = ReX2d(in_channels, *sizes, cell=form.cell)
        self.norm = nn.BatchNorm2d(out_channels) if form.norm else nn.Identity()
        self.pooled = _pooled(in_channels, out_channels, stride) if form.pooled else None
        self.act = nn.ReLU6(inplace=True) if form.act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.rex(x))
        if self.pooled is not None:
            out = out + self.pooled(x)
        activated: Tensor = self.act(out)
        return activated


def make_rex(
    in_channels: int, out_channels: int, stride: int, form: str | Mapping[str, Any] = "paper"
) -> nn.Module:
    """ReX in the form given; a plain `ReX2d` where that has nothing around it.

    Raises:
        ExeuntError: as `ReXForm.of`, and as `ReX2d`.
    """
    found = ReXForm.of(form)
    block: nn.Module = ReXBlock(in_channels, out_channels, stride, found)
    if not (found.norm or found.act or found.pooled):
        block = block.get_submodule("rex")
    if found.remember:
        start_recurrent(block)
    return block


def _pooled(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.AvgPool2d(stride, ceil_mode=True),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )
