"""Exits for a backbone that was not made for them (shallow-deep networks, Kaya et al. 2019)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from exeunt.chain import Block, chain
from exeunt.errors import ExeuntError
from exeunt.mode import evaluating
from exeunt.net import MultiExitNet
from exeunt.ops.exits import exit_kinds, make_exit


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
    long as they put out maps: a classifier and a global pooling before it are left out, and what
    its `forward` does with the last of these maps.

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
            behind the point where children stop running one after the other, a backbone in which
            none do, or a block that does not put out one (N, C, H, W) map.
    """
    reference = next(backbone.parameters(), torch.empty(0))
    images = reference.new_zeros(1, *image_shape)
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
        kind = type(backbone).__name__
        if not len(backbone._modules):
            raise ExeuntError(f"attach_exits: the backbone ({kind}) has no children to use")
        if isinstance(backbone, nn.Sequential) and _is_sequential(backbone):
            return cls(backbone)
        calls, out = _watch(backbone, images)
        links: dict[str, nn.Module] = {}
        x, end = images, ""
        for call in calls:
            if end := call.cannot_follow(x, links):
                break
            links[call.name], x = call.module, call.output
        changed = isinstance(out, Tensor) and out.dim() == 4 and out is not x
        if not links or (changed and not end):
            raise ExeuntError(
                f"attach_exits: the backbone ({kind}) does not run its children one after the "
                "other; give an nn.Sequential(OrderedDict(name=child, ...)) of parts that do"
            )
        return cls(nn.Sequential(OrderedDict(links)), end)


@dataclass(frozen=True)
class _Call:
    """What a child of the backbone was given, and what it gave."""

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    output: Any

    def cannot_follow(self, x: Tensor, links: dict[str, nn.Module]) -> str:
        """Why the child cannot come behind `links`, which put out x; empty if it can."""
        if self.name in links:
            return f"{self.name!r} runs twice"
        if len(self.inputs) != 1 or self.inputs[0] is not x:
            return f"{self.name!r} does not run on the output of the child before it"
        if not isinstance(self.output, Tensor) or self.output.dim() != 4:
            return f"{self.name!r} does not put out a map"
        if self.output.shape[2:] == (1, 1) != x.shape[2:] and not any(self.module.parameters()):
            return f"{self.name!r} pools the whole map"
        return ""


def _watch(backbone: nn.Module, images: Tensor) -> tuple[list[_Call], Any]:
    """The calls of the backbone's children, in order, and its output."""
    calls: list[_Call] = []
    hooks = [
        child.register_forward_hook(
            lambda module, inputs, output, name=name: calls.append(
                _Call(name, module, inputs, output)
            )
        )
        for name, child in backbone.named_children()
    ]
    try:
        return calls, backbone(images)
    finally:
        for hook in hooks:
            hook.remove()


def _blocks(links: Sequence[tuple[str, nn.Module]], x: Tensor) -> Iterator[Block]:
    for name, module in links:
        x = module(x)
        if not isinstance(x, Tensor) or x.dim() != 4:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ExeuntError(
                f"attach_exits: {name!r} ({type(module).__name__}) puts out {got}; every "
                "child must put out one map (N, C, H, W). Leave a classifier out"
            )
        yield Block(name, module, x.shape[1])


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
