"""What a network runs, in order: its blocks, what each of them reads, and its exits.

Found by running the net once, so it holds for any `MultiExitNet`, whatever its state is. A *block*
is what a stage's trunk calls: each named child, or the children of a plain `nn.Sequential` in its
place. A module that costs nothing and gives a map of the size it got (a norm, an activation) is no
block; whoever reads it reads what it read. What a block reads is followed through everything
between blocks: concatenation, slices, interpolation, the state from stage to stage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from exeunt.net import ExitInfo, MultiExitNet
from exeunt.ops.macs import MacCount, counting_macs
from exeunt.ops.recurrence import RECURRENT

IMAGE = -1
"""What stands for the image where a block is named by its position."""

_RECURRENT = (*RECURRENT, nn.RNNCellBase)


_SHAPE_OF: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_batch_norm.default: lambda x, *_: (
        torch.empty_like(x),
        x.new_empty(0),
        x.new_empty(0),
    ),
    torch.ops.aten.upsample_bilinear2d.default: lambda x, size, *_: x.new_empty(
        *x.shape[:2], *size
    ),
}
"""What frequent operators return on the `meta` device, where torch takes milliseconds for each."""


_FILLS = frozenset(
    getattr(torch.ops.aten, name)
    for name in ("new_empty", "new_zeros", "new_ones", "new_full", "empty_like", "zeros_like")
)
"""Operators that read the shape of a tensor and nothing in it."""


class MapSize(NamedTuple):
    """C, H and W of a feature map; a vector is a map of one pixel."""

    channels: int
    height: int
    width: int

    def __str__(self) -> str:
        return " \N{MULTIPLICATION SIGN} ".join(map(str, self))


class Source(NamedTuple):
    """A map that someone reads: the position of the block that made it, or `IMAGE`, and which of
    its maps.
    """

    block: int
    map: int


@dataclass(frozen=True)
class BlockTrace:
    """One call of a block.

    Attributes:
        name: of the module in the net.
        kind: its class.
        stage: 0 to E-1.
        maps: what it makes: of each size the last map, in the order that it returns them.
        reads: whose maps it reads, through no other block.
        macs: its multiply-adds for one image.
        recurrent: whether there is a recurrent cell in it.
    """

    name: str
    kind: str
    stage: int
    maps: tuple[MapSize, ...]
    reads: tuple[Source, ...]
    macs: int
    recurrent: bool


@dataclass(frozen=True)
class ExitTrace:
    """One exit.

    Attributes:
        info: channels, reduction and cumulative MACs, as `MultiExitNet.exit_info` has them.
        kind: class of the head.
        reads: whose maps its feature is made of.
        macs: multiply-adds of the head alone.
        recurrent: whether there is a recurrent cell in the head.
    """

    info: ExitInfo
    kind: str
    reads: tuple[Source, ...]
    macs: int
    recurrent: bool


@dataclass(frozen=True)
class NetworkTrace:
    """A network as it ran.

    Attributes:
        images: maps of the first state, the image alone unless the net prepares more.
        blocks: in the order they ran.
        exits: E of them.
        parameters: of the whole net.
    """

    images: tuple[MapSize, ...]
    blocks: tuple[BlockTrace, ...]
    exits: tuple[ExitTrace, ...]
    parameters: int

    def map_of(self, source: Source) -> MapSize:
        """The map that someone reads."""
        maps = self.images if source.block == IMAGE else self.blocks[source.block].maps
        return maps[source.map]


def trace_network(net: MultiExitNet, image_size: int | tuple[int, int] = 224) -> NetworkTrace:
    """Runs a net on one blank image, on the device where its parameters are.

    On the `meta` device (`with torch.device("meta"): create_model(...)`) it takes neither memory
    nor arithmetic.

    Args:
        net: left as it was.
        image_size: of the image in pixels, H and W.

    Raises:
        ExeuntError: when there is no formula for an operator that runs.
    """
    with counting_macs(net) as count, _Origins() as origins:
        watch = _Watch(net, count, origins)
        with watch.hooked():
            infos = net.exit_info(image_size)
    return NetworkTrace(
        tuple(watch.images),
        tuple(watch.blocks),
        tuple(ExitTrace(info, *rest) for info, rest in zip(infos, watch.heads, strict=True)),
        sum(parameter.numel() for parameter in net.parameters()),
    )


class _Origins(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps, for every tensor's memory, whose maps went into it since the last block.

    What an operator returns comes from all that it reads. Memory that is used again is written by
    an operator first, which replaces what was known of it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[int, frozenset[Source]] = {}

    def of(self, *values: Any) -> frozenset[Source]:
        found = (self._known.get(_memory(x), frozenset()) for x in _tensors(values))
        return frozenset().union(*found)

    def put(self, tensor: Tensor, sources: frozenset[Source]) -> None:
        self._known[_memory(tensor)] = sources

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        fills = getattr(func, "overloadpacket", None) in _FILLS
        sources: frozenset[Source] = frozenset() if fills else self.of(args, kwargs)
        shape_of = _SHAPE_OF.get(func) if _on_meta(args) else None
        out = shape_of(*args) if shape_of else func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self.put(tensor, sources)
        return out


@dataclass
class _Watch:
    """Hooks that write down what runs."""

    net: MultiExitNet
    count: MacCount
    origins: _Origins
    images: list[MapSize] = field(default_factory=list)
    blocks: list[BlockTrace] = field(default_factory=list)
    heads: list[tuple[str, tuple[Source, ...], int, bool]] = field(default_factory=list)
    _stage: int = 0
    _depth: int = 0
    _at_start: tuple[int, frozenset[Source]] = (0, frozenset())

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Hooks stages, blocks and heads; in the end the net is as it was."""
        with ExitStack() as stack:
            opened: list[nn.Module] = []
            heads: list[str] = []
            for k, stage in enumerate(self.net.stages):
                handle = stage.register_forward_pre_hook(partial(self._begin, k))
                stack.callback(handle.remove)
                opened += [stage, stage.get_submodule("trunk")]
                heads.append(f"stages.{k}.exit")
                self._hook(stack, stage.get_submodule("exit"), self._end_head)
            for name, module in self.net.stages.named_modules(prefix="stages"):
                is_open = module in opened or type(module) in (nn.Sequential, nn.ModuleList)
                in_head = any(f"{name}.".startswith(f"{head}.") for head in heads)
                if not in_head and not (is_open and next(module.children(), None)):
                    self._hook(stack, module, partial(self._end_block, name))
            yield

    def _hook(self, stack: ExitStack, module: nn.Module, end: Callable[..., None]) -> None:
        """Has `end` called with the outermost of all hooked modules, and what it got and gave."""

        def before(module: nn.Module, inputs: Any, kwargs: Any) -> None:
            self._depth += 1
            if self._depth == 1:
                self._at_start = (self.count.total, self.origins.of(inputs, kwargs))

        def after(module: nn.Module, inputs: Any, kwargs: Any, output: Any) -> None:
            self._depth -= 1
            if self._depth == 0:
                end(module, _tensors((inputs, kwargs)), _tensors(output))

        stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(after, with_kwargs=True).remove)

    def _begin(self, k: int, stage: nn.Module, state: tuple[Tensor, ...]) -> None:
        self._stage = k
        if k == 0:
            self.images = [_map_size(image) for image in state]
            for i, image in enumerate(state):
                self.origins.put(image, frozenset([Source(IMAGE, i)]))

    def _end_block(
        self, name: str, module: nn.Module, got: list[Tensor], gave: list[Tensor]
    ) -> None:
        earlier, read = self._at_start
        macs = self.count.total - earlier
        held = {_memory(x) for x in got}
        made = [x for x in gave if _memory(x) not in held] or gave
        maps = {_map_size(x)[1:]: _map_size(x) for x in made}
        if not macs and {*maps.values()} <= {_map_size(x) for x in got}:
            return
        for x in made:
            place = [*maps].index(_map_size(x)[1:])
            self.origins.put(x, frozenset([Source(len(self.blocks), place)]))
        self.blocks.append(
            BlockTrace(
                name,
                type(module).__name__,
                self._stage,
                tuple(maps.values()),
                tuple(sorted(read)),
                macs,
                _is_recurrent(module),
            )
        )

    def _end_head(self, module: nn.Module, got: list[Tensor], gave: list[Tensor]) -> None:
        earlier, read = self._at_start
        macs = self.count.total - earlier
        for logits in gave:  # they are no map, and who reads them later has no line from here
            self.origins.put(logits, frozenset())
        self.heads.append((type(module).__name__, tuple(sorted(read)), macs, _is_recurrent(module)))


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, (tuple, list)):
        return []
    return [x for value in values for x in _tensors(value)]


def _on_meta(args: tuple[Any, ...]) -> bool:
    return bool(args) and isinstance(args[0], Tensor) and args[0].is_meta


def _memory(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _map_size(x: Tensor) -> MapSize:
    """Of a tensor (N, C, H, W), (N, C, L), (N, C) or (N)."""
    channels, *lengths = x.shape[1:] or (1,)
    return MapSize(channels, math.prod(lengths[:-1]), lengths[-1] if lengths else 1)


def _is_recurrent(module: nn.Module) -> bool:
    return any(isinstance(part, _RECURRENT) for part in module.modules())
