"""A ReX stem in place of a network's early part, the rest untouched: `replace_stem`.

    net = create_model("mobilenetv2_075", rex_stem="group2_block2")

The early part makes one map of the image. A `ReXStem` makes a map of that shape by other means: the
network's own first convolution, ReX, and inverted residuals behind it. To give it what the early
part knows, train it by the regime `stem` (`exeunt.training.stem`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.errors import ExeuntError, one_of
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.conv import ConvNormAct, InvertedResidual, init_conv_net
from exeunt.ops.rex_block import make_rex

CHILD = "rex_stem"
"""Name of the stem in the first trunk, and of the argument that all networks take."""

_FRESH_CHANNELS = 32  # of a first convolution, where the network has none that fits
_REX_STRIDE = 4  # at most; Table 1 of the ReX paper
_REDUCTIONS = (4, 8, 16, 32)
_TAPS_SHOWN = 12


@dataclass(frozen=True)
class ReXStem:
    """Where the early part ends, and what stands in for it.

    Attributes:
        at: the exit, from 1, whose map the stem makes, where exits before it go; or a module of a
            trunk by its path, such as `"group2_block2"`, behind which the early part ends.
        rex_form: of ReX, see `exeunt.ops.rex_block`.
        expansion: of the inverted residuals behind it.
        blocks: how many of them; more where the map is less than an eighth of the image.
        width: channels of ReX and of these blocks, those of the map where it has fewer.
    """

    at: int | str
    rex_form: str | Mapping[str, Any] = "mingru"
    expansion: int = 4
    blocks: int = 1
    width: int = 64

    @classmethod
    def of(cls, stem: int | str | Mapping[str, Any] | ReXStem) -> ReXStem:
        """From where the early part ends, or from a mapping of the attributes.

        Raises:
            ExeuntError: for an unknown key, no `at`, or a value that cannot be.
        """
        if isinstance(stem, ReXStem):
            return stem
        given = dict(stem) if isinstance(stem, Mapping) else {"at": stem}
        names = [field.name for field in fields(cls)]
        for key in given:
            if key not in names:
                raise ExeuntError(f"rex_stem: unknown key {key!r}; {one_of(key, names)}")
        if "at" not in given:
            raise ExeuntError("rex_stem: no at; give an exit, from 1, or the path of a module")
        for key, least in (("expansion", 1), ("blocks", 0), ("width", 8), ("at", 1)):
            value = given.get(key, least)
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
            if not (whole or (key == "at" and isinstance(value, str) and value)):
                more = ", or the path of a module" if key == "at" else ""
                raise ExeuntError(
                    f"rex_stem: {key}={value!r}; give a whole number of at least {least}{more}"
                )
        return cls(**given)


class EarlyPart(nn.Module):
    """What a stem stands in for: trunks one after the other, from images to one map.

    Args:
        trunks: of the stages that go, the last one perhaps in part.
        at: where the early part ends, for messages.
    """

    def __init__(self, trunks: Sequence[nn.Module], at: int | str) -> None:
        super().__init__()
        self.trunks = nn.ModuleList(trunks)
        self.at = at

    def forward(self, x: Tensor) -> Tensor:
        """Maps images (N, C, H, W) to the map (N, C', H', W') that the rest reads."""
        state: tuple[Tensor, ...] = (x,)
        for trunk in self.trunks:
            moved = trunk(*state)
            state = moved if isinstance(moved, tuple) else (moved,)
        if len(state) != 1 or state[0].dim() != 4:
            shapes = ", ".join(str(tuple(part.shape)) for part in state)
            raise ExeuntError(
                f"rex_stem: at {self.at!r} the network hands on {shapes}; a stem makes one map "
                "(N, C, H, W), so end the early part elsewhere"
            )
        return state[0]


def replace_stem(
    net: MultiExitNet,
    stem: int | str | Mapping[str, Any] | ReXStem,
    image_size: int = 224,
) -> MultiExitNet:
    """A network whose early part is a fresh ReX stem; takes the modules of `net` over.

    All that comes after is untouched, tensor by tensor. The stem begins with what the early part
    begins with, up to half of the image's size, where that is a chain of modules, and with a new
    3x3 convolution of stride 2 and 32 channels otherwise. Channels and strides are those of the map
    that it has to make. Exits inside the early part go.

    Args:
        net: trained or not; it is not to be used any more.
        stem: where the early part ends, or more, see `ReXStem`.
        image_size: of the images to try, in pixels.

    Raises:
        ExeuntError: when there is no such exit or module, the early part does not give one map, or
            its map is not 1/4, 1/8, 1/16 or 1/32 of the image, rounded up.
    """
    form = ReXStem.of(stem)
    changed = with_early_part(net, form.at)
    early = early_part(changed)
    assert isinstance(early, EarlyPart)
    like = next(net.parameters())
    images = like.new_zeros(1, net.in_chans, image_size, image_size)
    with torch.no_grad(), evaluating(early):
        made = early(images)
        first, channels = _first(early, images)
    reduction = _reduction(made, image_size, form.at)
    fresh = _stem(form, net.in_chans, first, channels, made.shape[1], reduction)
    trunk = changed.stages[0].get_submodule("trunk")
    setattr(trunk, CHILD, fresh.to(like).train(net.training))
    if net.origin is not None:
        name, arguments = net.origin
        own = {CHILD: stem if not isinstance(stem, ReXStem) else vars(stem)}
        kept = {"keep": changed.num_exits} if "keep" in arguments else {}
        changed.origin = name, arguments | own | kept
    return changed


def with_early_part(net: MultiExitNet, at: int | str) -> MultiExitNet:
    """The same network, its early part in one module, at the place where a stem would stand.

    Args:
        net: whose modules are taken over.
        at: where the early part ends, as `ReXStem` has it.

    Raises:
        ExeuntError: when there is no such exit or module.
    """
    stages = [*net.stages]
    for k, stage in enumerate(stages):
        if type(stage) is not Stage:
            raise ExeuntError(
                f"rex_stem: stages.{k} is a {type(stage).__name__}; only plain stages can be given "
                "a stem (before they are made collaborative)"
            )
    trunks = [stage.get_submodule("trunk") for stage in stages]
    if any(CHILD in trunk._modules for trunk in trunks[:1]):
        raise ExeuntError("rex_stem: the network has a ReX stem already")
    if isinstance(at, int):
        if not 1 <= at <= len(stages):
            raise ExeuntError(f"rex_stem: at={at!r}; the network has exits 1 to {len(stages)}")
        last, head, tail = at - 1, trunks[at - 1], nn.Sequential()
    else:
        last, head, tail = _parted(trunks, at)
    early = EarlyPart([*trunks[:last], head], at)
    trunk = nn.Sequential(OrderedDict([(CHILD, early), *tail.named_children()]))
    first = Stage(trunk, stages[last].get_submodule("exit")).train(net.training)
    changed = MultiExitNet([first, *stages[last + 1 :]], net.num_classes, net.in_chans)
    changed.training = net.training
    changed.origin = net.origin
    return changed


def early_part(net: MultiExitNet) -> nn.Module:
    """What makes the first map: the stem, or the early part where a stem would stand.

    Raises:
        ExeuntError: when the network has neither.
    """
    found = net.stages[0].get_submodule("trunk")._modules.get(CHILD)
    if found is None:
        raise ExeuntError(f"the network has no ReX stem; make it with {CHILD}=...")
    return found


def _parted(trunks: Sequence[nn.Module], at: str) -> tuple[int, nn.Module, nn.Sequential]:
    """The trunk that has a module, its part up to there and its part behind."""
    for k, trunk in enumerate(trunks):
        if type(trunk) is nn.Sequential and at in dict(_links(trunk)):
            return k, *_split(trunk, at)
    taps = [path for trunk in trunks if type(trunk) is nn.Sequential for path, _ in _links(trunk)]
    shown = ", ".join(taps[:_TAPS_SHOWN]) + (", ..." if len(taps) > _TAPS_SHOWN else "")
    raise ExeuntError(
        f"rex_stem: no module {at!r} where trunks are chains of modules; {shown or 'none is one'}; "
        f"or an exit, 1 to {len(trunks)}"
    )


def _links(trunk: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Modules that run one after the other, with their paths; Sequentials are entered."""
    for name, child in trunk.named_children():
        if type(child) is nn.Sequential:
            yield from _links(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _split(trunk: nn.Sequential, at: str) -> tuple[nn.Sequential, nn.Sequential]:
    """A chain up to a module and behind it; modules keep their paths."""
    head, tail = nn.Sequential(), nn.Sequential()
    name, _, rest = at.partition(".")
    part = head
    for child_name, child in trunk.named_children():
        if child_name != name:
            part.add_module(child_name, child)
            continue
        part = tail
        if not rest:
            head.add_module(child_name, child)
            continue
        assert isinstance(child, nn.Sequential)
        for whole, half in zip((head, tail), _split(child, rest), strict=True):
            if len(half):
                whole.add_module(child_name, half)
    return head, tail


def _first(early: EarlyPart, images: Tensor) -> tuple[nn.Module | None, int]:
    """What the early part begins with, up to half of the image's size, and its channels.

    None where that is no chain of modules, or passes over half of the size.
    """
    trunk = early.trunks[0]
    if type(trunk) is not nn.Sequential:
        return None, _FRESH_CHANNELS
    half = [-(-side // 2) for side in images.shape[2:]]
    taken: list[nn.Module] = []
    x, reached, convolved = images, False, False
    for _, module in _links(trunk):
        moved = module(x)
        if not isinstance(moved, Tensor) or moved.dim() != 4:
            break
        at_half = [*moved.shape[2:]] == half
        convolves = any(isinstance(part, nn.Conv2d) for part in module.modules())
        if (convolved and convolves) or (reached and not at_half):
            break
        taken.append(module)
        convolved = convolved or convolves
        x, reached = moved, at_half
    if not reached:
        return None, _FRESH_CHANNELS
    return taken[0] if len(taken) == 1 else nn.Sequential(*taken), x.shape[1]


def _reduction(made: Tensor, image_size: int, at: int | str) -> int:
    for reduction in _REDUCTIONS:
        if [*made.shape[2:]] == [-(-image_size // reduction)] * 2:
            return reduction
    height, width = made.shape[2:]
    raise ExeuntError(
        f"rex_stem: at {at!r} the map of an image of {image_size}x{image_size} px is "
        f"{height}x{width}; a stem makes 1/4, 1/8, 1/16 or 1/32 of it, rounded up"
    )


def _stem(
    form: ReXStem,
    in_chans: int,
    first: nn.Module | None,
    channels: int,
    out: int,
    reduction: int,
) -> nn.Sequential:
    """The first convolution, ReX, inverted residuals, which halve what is left, and a 1x1
    convolution with a norm, which has the scale of the map's channels.
    """
    stride = min(reduction // 2, _REX_STRIDE)
    inner = 8 * -(-min(out, form.width) // 8)
    rex = make_rex(channels, inner, form.rex_form, patch_size=stride + 2, stride=stride)
    halvings = (reduction // 2 // stride).bit_length() - 1
    width = rex.out_channels
    behind: list[tuple[str, nn.Module]] = []
    for k in range(max(form.blocks, halvings)):
        block = InvertedResidual(width, width, 2 if k < halvings else 1, form.expansion)
        behind.append((f"block{k}", block))
    behind.append(("last", ConvNormAct(width, out, act=None)))
    begins = ConvNormAct(in_chans, channels, 3, stride=2) if first is None else first
    for module in (*(block for _, block in behind), *([begins] if first is None else [])):
        init_conv_net(module)
    return nn.Sequential(OrderedDict([("first", begins), ("rex", rex), *behind]))
