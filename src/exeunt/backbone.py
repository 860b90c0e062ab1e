"""Exits for a backbone that was not made for them (shallow-deep networks, Kaya et al. 2019)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.chain import Block, chain, nest
from exeunt.errors import ExeuntError
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet
from exeunt.ops.exits import exit_kinds, make_exit

_TOLERANCE = 1e-4  # of the largest number of a map


def attach_exits(
    backbone: nn.Module,
    at: Sequence[int | str],
    num_classes: int,
    *,
    exit_head: str | Sequence[str] = "pooled",
    image_shape: tuple[int, int, int] = (3, 64, 64),
) -> MultiExitNet:
    """Makes a shallow-deep network of a backbone whose children run one after the other.

    The backbone's modules are used, not copied, and keep their names behind `stages.K.trunk.`. A
    dry run finds their order and channels. Of an `nn.Sequential` all children are used, so that the
    caller leaves a classifier out (`backbone[:-1]`). Of any other module, such as torchvision's and
    timm's networks, those are used that run on the output of the one before, from the image on, as
    long as they put out maps; members of lists count as children. A classifier and a global pooling
    before it are left out, and what its `forward` does with the last of these maps; nothing else
    is. Every map is compared with the one that the backbone makes itself.

    Args:
        backbone: its children are the blocks, each mapping one (N, C, H, W) to another.
        at: modules after which a net may stop: children by position (0-based, negative from the
            end) or by name, and what lies deeper by its path, such as `"layer2.1"`, where all that
            it lies in are `nn.Sequential`; the last child that is used always gets an exit.
        num_classes: K.
        exit_head: kind of every exit, or of each; see `exeunt.ops.exits`.
        image_shape: (C, H, W) of an image for the dry run.

    Raises:
        ExeuntError: for a tap that does not exist, lies in something else than `nn.Sequential` or
            behind the last map, a backbone that does not run on such images or whose children do
            not run one after the other, or a block that does not put out one (N, C, H, W) map.
    """
    reference = next(backbone.parameters(), torch.empty(0))
    images = torch.randn(2, *image_shape, generator=torch.Generator().manual_seed(0)).to(reference)
    with torch.no_grad(), evaluating(backbone):
        found = _Run.of(backbone, images)
        paths = [_path(found, tap) for tap in at]
        links = list(_links(found.children, paths))
        blocks = list(_blocks(links, images))
    exits_after = {len(blocks) - 1}
    for path in paths:
        inside = (i for i, (name, _) in enumerate(links) if f"{name}.".startswith(f"{path}."))
        exits_after.add(max(inside))
    kinds = exit_kinds(exit_head, len(exits_after))
    stages = chain(
        blocks, exits_after, lambda k, channels: make_exit(kinds[k], channels, num_classes)
    )
    return MultiExitNet(stages, num_classes, image_shape[0]).train(backbone.training)


@dataclass(frozen=True)
class _Run:
    """Children that run one after the other, and why no more of them do."""

    children: nn.Sequential
    end: str = ""

    @classmethod
    def of(cls, backbone: nn.Module, images: Tensor) -> _Run:
        """Watches a backbone run on images, and runs the chain that was found to compare.

        Raises:
            ExeuntError: when it does not run, is no chain, or is more than the chain.
        """
        kind = type(backbone).__name__
        if not len(backbone._modules):
            raise ExeuntError(f"attach_exits: the backbone ({kind}) has no children to use")
        if isinstance(backbone, nn.Sequential) and _is_sequential(backbone):
            return cls(backbone)
        calls, out = _watch(backbone, images)
        links: dict[str, _Call] = {}
        x, end = images, ""
        for call in calls:
            if end := call.cannot_follow(x, links):
                break
            links[call.name], x = call, call.output
        _require_all(backbone, calls[len(links) :], end)
        changed = isinstance(out, Tensor) and out.dim() == 4 and out is not x
        if not links or (changed and not end):
            last = f"what runs behind {[*links][-1]!r}" if links else "what it does with the images"
            raise ExeuntError(
                f"attach_exits: the backbone ({kind}) does not run its children one after the "
                f"other: {last} is no child's work; {_WAY_OUT}"
            )
        _compare(kind, images, list(links.values()))
        return cls(nest(_told_apart((call.name, call.module) for call in links.values())), end)


_WAY_OUT = (
    "give an nn.Sequential(OrderedDict(name=part, ...)) of parts that do, each from one map "
    "(N, C, H, W) to the next"
)


@dataclass(frozen=True)
class _Call:
    """What a child of the backbone was given, and what it gave.

    `version` counts what was done in place to its input before, `left` to its output when it was
    done; `seen` is a copy of that.
    """

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    version: int
    output: Any
    left: int
    seen: Tensor | None

    @property
    def called(self) -> str:
        return f"{self.name!r} ({type(self.module).__name__})"

    def cannot_follow(self, x: Tensor, links: Mapping[str, _Call]) -> str:
        """Why the child cannot come behind `links`, which put out x; empty if it can."""
        before = [*links.values()][-1:]
        behind = f"the output of the child before it, {before[0].name!r}" if before else "the image"
        if self.name in links:
            return f"{self.called} runs twice"
        if len(self.inputs) != 1 or self.inputs[0] is not x:
            return f"{self.called} does not run on {behind}, but on {_described(self.inputs)}"
        if self.version != (before[0].left if before else 0):
            return f"{self.called} does not run on {behind}, but on what was made of it in place"
        if not isinstance(self.output, Tensor) or self.output.dim() != 4:
            return f"{self.called} puts out {_described(self.output)}, no map (N, C, H, W)"
        if _pools(self.module, x, self.output):
            return f"{self.called} pools the whole map"
        return ""

    @property
    def belongs_to_a_head(self) -> bool:
        """Whether it works on vectors, or makes one of a map."""
        return _is_vector(self.output) or all(map(_is_vector, self.inputs))


def _pools(module: nn.Module, x: Tensor, out: Tensor) -> bool:
    """Whether a map becomes one pixel, and would if it were larger; without parameters the first is
    enough.
    """
    if not out.shape[2:] == (1, 1) != x.shape[2:]:
        return False
    if next(module.parameters(), None) is None:
        return True
    try:
        larger = module(x.repeat(1, 1, 2, 2))
    except (RuntimeError, ValueError):  # it takes no other size
        return False
    return isinstance(larger, Tensor) and larger.shape[2:] == (1, 1)


def _is_vector(value: Any) -> bool:
    """Whether something is (N, C), or (N, C, 1, 1)."""
    return isinstance(value, Tensor) and (value.dim() <= 2 or value.shape[2:] == (1, 1))


def _described(value: Any) -> str:
    """What something is, for messages."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        inside = [_described(one) for one in value]
        return inside[0] if len(inside) == 1 else f"{len(inside)} things: {', '.join(inside[:3])}"
    return f"a {type(value).__name__}"


def _watch(backbone: nn.Module, images: Tensor) -> tuple[list[_Call], Any]:
    """The calls of the backbone's children, in order, and its output.

    Raises:
        ExeuntError: when it does not run on such images.
    """
    calls: list[_Call] = []
    versions: list[int] = []

    def before(module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        versions.append(_version(inputs[0] if inputs else None))

    def after(
        name: str, module: nn.Module, inputs: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> None:
        seen = out.clone() if isinstance(out, Tensor) else None
        given = (*inputs, *(value for value in kwargs.values() if value is not None))
        calls.append(_Call(name, module, given, versions.pop(), out, _version(out), seen))

    with ExitStack() as stack:
        for name, child in _parts(backbone):
            begin = child.register_forward_pre_hook(before, with_kwargs=True)
            end = child.register_forward_hook(partial(after, name), with_kwargs=True)
            stack.callback(begin.remove)
            stack.callback(end.remove)
        return calls, _put_out("the backbone", backbone, images)


def _put_out(what: str, module: nn.Module, x: Tensor) -> Any:
    try:
        return module(x)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ExeuntError(
            f"attach_exits: {what} ({type(module).__name__}) does not run on "
            f"{_described(x)}: {reason}; give as image_shape (C, H, W) what it takes"
        ) from error


def _version(value: Any) -> int:
    """How often a tensor was written to."""
    counted = isinstance(value, Tensor) and not value.is_inference()
    return value._version if counted else 0


def _parts(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Children, and those of lists of them, which are never called themselves."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _parts(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _told_apart(links: Iterable[tuple[str, nn.Module]]) -> list[tuple[str, nn.Module]]:
    """Links under names that nest. Where the members of lists take turns, `stages.0` becomes
    `stages_0`.
    """
    named = list(links)
    heads = [head for head, _ in groupby(name.partition(".")[0] for name, _ in named)]
    if len(heads) == len(set(heads)):
        return named
    return [(name.replace(".", "_"), module) for name, module in named]


def _require_all(backbone: nn.Module, rest: Sequence[_Call], end: str) -> None:
    """Refuses to leave out anything but a head: what pools, and what works on vectors behind it.

    Raises:
        ExeuntError: naming what would be left out and why.
    """
    left_out = [call for call in rest if not call.belongs_to_a_head]
    if not left_out:
        return
    names = list(dict.fromkeys(call.name for call in left_out))
    own = sum({p: p.numel() for call in left_out for p in call.module.parameters()}.values())
    every = sum(p.numel() for p in backbone.parameters())
    shown = ", ".join(map(repr, names[:4])) + (", ..." if len(names) > 4 else "")
    raise ExeuntError(
        f"attach_exits: the backbone ({type(backbone).__name__}) does not run its children one "
        f"after the other: {end}. {shown} ({own:,} of {every:,} parameters) would be left out; "
        f"{_WAY_OUT}"
    )


def _compare(kind: str, images: Tensor, links: Sequence[_Call]) -> None:
    """Refuses a chain whose maps are not those that the backbone made.

    Raises:
        ExeuntError: naming the child behind which they first differ.
    """
    x = images
    for call in links:
        x = call.module(x)
        assert call.seen is not None
        reach = call.seen.abs().max().clamp(min=1)
        gap = float((x - call.seen).abs().max() / reach) if x.shape == call.seen.shape else math.inf
        if not gap <= _TOLERANCE:
            raise ExeuntError(
                f"attach_exits: in the backbone ({kind}) {call.called} gives another map than in a "
                f"chain of its children: they differ by {gap:.2g} of the largest number. "
                f"Something changes what it reads or does between them; {_WAY_OUT}"
            )


def _blocks(links: Sequence[tuple[str, nn.Module]], x: Tensor) -> Iterator[Block]:
    images, before = x, nn.Sequential()
    for name, module in links:
        before.append(module)
        x = _put_out(repr(name), module, x)
        if not isinstance(x, Tensor) or x.dim() != 4:
            raise ExeuntError(
                f"attach_exits: {name!r} ({type(module).__name__}) puts out {_described(x)}; every "
                "child must put out one map (N, C, H, W). Leave a classifier out"
            )
        if x.shape[1] == x.shape[2] != x.shape[3] and _channels_last(before, images, x):
            raise ExeuntError(
                f"attach_exits: {name!r} ({type(module).__name__}) puts out {_described(x)}, which "
                "has its channels last; exits read maps (N, C, H, W)"
            )
        yield Block(name, module, x.shape[1])


def _channels_last(blocks: nn.Module, images: Tensor, maps: Tensor) -> bool:
    """Whether a map that looks like (N, H, W, C) is one: wider images make it wider there."""
    try:
        wider = blocks(images.repeat(1, 1, 1, 2))
    except (RuntimeError, ValueError, AssertionError):  # images have one size, and are square
        return True
    return bool(wider.shape[2] != maps.shape[2])


def _is_sequential(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _path(run: _Run, tap: int | str) -> str:
    """The name of what a tap asks for, as in `named_modules`."""
    parent: nn.Module = run.children
    names = list(parent._modules)
    if isinstance(tap, int):
        if -len(names) <= tap < len(names):
            return names[tap]
        raise ExeuntError(_no_child(tap, "", names, run.end))
    path = ""
    for part in tap.split("."):
        if not _is_sequential(parent):
            raise ExeuntError(
                f"attach_exits: {tap!r} lies inside {path!r}, a {type(parent).__name__}, which "
                f"does not run its children one after the other; put the exit after {path!r}"
            )
        if part not in (names := list(parent._modules)):
            raise ExeuntError(_no_child(tap, path, names, run.end))
        path = f"{path}.{part}" if path else part
        parent = run.children.get_submodule(path)
    return tap


def _no_child(tap: int | str, parent: str, names: Sequence[str], end: str) -> str:
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    if parent:
        return f"attach_exits: no module {tap!r}; {parent!r} has {shown}"
    why = f" ({end}, so exits can be no later)" if end else ""
    return f"attach_exits: no child {tap!r}; positions 0 to {len(names) - 1}, names {shown}{why}"


def _links(
    parent: nn.Module, paths: Sequence[str], prefix: str = ""
) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules in the order they run; only what some path leads into is taken apart."""
    for name, child in parent._modules.items():  # named_children leaves out a module used twice
        assert child is not None
        inside = f"{prefix}{name}."
        if any(path.startswith(inside) for path in paths):
            yield from _links(child, paths, inside)
        else:
            yield prefix + name, child
