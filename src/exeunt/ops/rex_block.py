"""ReX as a block of a network: the paper's operator, and what makes it train better.

`ReX2d` alone is the paper's form. A `ReXForm` says what else a network may put around it; forms
that have proved themselves have names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.ops.conv import InvertedResidual
from exeunt.ops.recurrence import start_recurrent
from exeunt.ops.rex import ReX2d

_EXPANSION = 3  # of the blocks behind


@dataclass(frozen=True)
class ReXForm:
    """What a network makes of ReX; the defaults are the paper's.

    Attributes:
        cell: of both RNNs, as `ReX2d` takes it.
        norm: batch norm behind ReX.
        act: ReLU6 behind that.
        pooled: a straight path beside ReX: average pooling with the stride, a 1x1 convolution and
            batch norm, added to what ReX gives (behind its norm).
        blocks: inverted residuals behind all that, of expansion 3, as wide as ReX.
        remember: start the cells so that they remember, see `start_recurrent`.
        hidden1: state size of the first RNN; the network's own if None, as the next three.
        hidden2: of the second RNN; all parts together give 8 times as many channels.
        patch_size: pixels of a patch.
        stride: distance of neighbouring patches.
        use_rows, use_global, use_cols: leave out a part of the output, as Table 4 does.
    """

    cell: str = "gru"
    norm: bool = False
    act: bool = False
    pooled: bool = False
    blocks: int = 0
    remember: bool = False
    hidden1: int | None = None
    hidden2: int | None = None
    patch_size: int | None = None
    stride: int | None = None
    use_rows: bool = True
    use_global: bool = True
    use_cols: bool = True

    @classmethod
    def of(cls, form: str | Mapping[str, Any] | None) -> ReXForm:
        """A form by name, or from what differs from the paper's; None is that of the networks.

        Raises:
            ExeuntError: for a name or a key that is not there, or a value of another type.
        """
        form = NETWORK_FORM if form is None else form
        if isinstance(form, str):
            if form not in REX_FORMS:
                raise ExeuntError(f"unknown form of ReX {form!r}; one of {', '.join(REX_FORMS)}")
            return REX_FORMS[form]
        kinds = {key: (*get_args(hint), hint)[0] for key, hint in get_type_hints(cls).items()}
        for key, value in form.items():
            if key not in kinds:
                raise ExeuntError(f"form of ReX: unknown key {key!r}; one of {', '.join(kinds)}")
            if type(value) is not kinds[key]:
                wanted = "an int" if kinds[key] is int else f"a {kinds[key].__name__}"
                raise ExeuntError(f"form of ReX: {key}={value!r}; give {wanted}")
        if form.get("blocks", 0) < 0:
            raise ExeuntError(f"form of ReX: blocks={form['blocks']}; give 0 or more")
        return cls(**form)


REX_FORMS: dict[str, ReXForm] = {
    "paper": ReXForm(),
    "mingru": ReXForm(cell="mingru", norm=True, remember=True),
    "mingru_blocks2": ReXForm(cell="mingru", norm=True, remember=True, blocks=2),
}
"""By name: the paper's, and those that `docs/rex.md` found to train better and cost less."""

NETWORK_FORM = "mingru"
"""The one that networks named `rex_...` have unless they are asked for another. `ReX2d` alone, and
what the paper's experiments put into other networks, are the paper's.
"""


def describe_form(name: str) -> str:
    """What a named form is, in a line."""
    form = ReXForm.of(name)
    other = [
        key if value is True else f"{key}={value}"
        for key, value in vars(form).items()
        if value != getattr(ReXForm, key)
    ]
    text = ", ".join(other) or "the ReX paper's, a GRU and nothing around it, as ReX2d"
    return f"{text}; of networks by default" if name == NETWORK_FORM else text


class ReXBlock(nn.Module):
    """ReX with what `form` puts around it: (N, C, H, W) to (N, out_channels, H', W').

    Args:
        rex: in the middle.
        form: what is around it.

    Attributes:
        out_channels: those of `rex`.
    """

    def __init__(self, rex: ReX2d, form: ReXForm) -> None:
        super().__init__()
        self.rex, self.out_channels = rex, rex.out_channels
        self.norm = nn.BatchNorm2d(rex.out_channels) if form.norm else nn.Identity()
        self.pooled = _pooled(rex) if form.pooled else None
        self.act = nn.ReLU6(inplace=True) if form.act else nn.Identity()
        width = rex.out_channels
        self.blocks = nn.Sequential(
            *(InvertedResidual(width, width, 1, _EXPANSION) for _ in range(form.blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.rex(x))
        if self.pooled is not None:
            out = out + self.pooled(x)
        last: Tensor = self.blocks(self.act(out))
        return last


def make_rex(
    in_channels: int,
    out_channels: int,
    form: str | Mapping[str, Any] | None = "paper",
    *,
    hidden1: int = 16,
    patch_size: int = 6,
    stride: int = 4,
) -> ReX2d | ReXBlock:
    """ReX in the form given; a plain `ReX2d` where that has nothing around it.

    Args:
        in_channels: C.
        out_channels: a multiple of 8, if the form does not say otherwise.
        form: a name in `REX_FORMS`, or what differs from the paper's; None is `NETWORK_FORM`.
        hidden1: the network's own, where the form says nothing, as the next two.
        patch_size: likewise.
        stride: likewise.

    Raises:
        ExeuntError: as `ReXForm.of`, and as `ReX2d`.
    """
    found = ReXForm.of(form)
    rex = ReX2d(
        in_channels,
        hidden1 if found.hidden1 is None else found.hidden1,
        out_channels // 8 if found.hidden2 is None else found.hidden2,
        patch_size if found.patch_size is None else found.patch_size,
        stride if found.stride is None else found.stride,
        cell=found.cell,
        use_rows=found.use_rows,
        use_global=found.use_global,
        use_cols=found.use_cols,
    )
    block: ReX2d | ReXBlock = rex
    if found.norm or found.act or found.pooled or found.blocks:
        block = ReXBlock(rex, found)
    if found.remember:
        start_recurrent(block)
    return block


def _pooled(rex: ReX2d) -> nn.Module:
    return nn.Sequential(
        nn.AvgPool2d(rex.stride, ceil_mode=True),
        nn.Conv2d(rex.in_channels, rex.out_channels, 1, bias=False),
        nn.BatchNorm2d(rex.out_channels),
    )
