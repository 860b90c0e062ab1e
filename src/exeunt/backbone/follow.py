"""What a network computes, as a graph that can be cut.

`torch.fx` follows the code and not `torch.export`: modules stay modules in its graph, so that
weights keep their names, batch norms and dropout still follow `train()` and `eval()`, and images
may have any size. Each operation is done on a real batch as it is met, so that a branch on a size
goes the way that these images take, and what every operation gives is known. Contexts that the code
enters, such as `torch.no_grad`, are not seen.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, fx, nn

from exeunt.errors import ExeuntError


@dataclass(frozen=True)
class Followed:
    """A network, followed.

    Attributes:
        kind: its class.
        images: that it was followed on, (N, C, H, W).
        graph: what was followed.
        parts: modules and parameters that the graph names.
        values: what every node gave.
        calls: for every module that was called, the nodes of what it put out.
        writes: nodes that changed in place what they read.
    """

    kind: str
    images: Tensor
    graph: fx.Graph
    parts: Mapping[str, Any]
    values: Mapping[fx.Node, Any]
    calls: Mapping[str, list[fx.Node]]
    writes: Collection[fx.Node]

    @cached_property
    def image(self) -> fx.Node:
        """The node of the images."""
        found: fx.Node = next(node for node in self.graph.nodes if node.op == "placeholder")
        return found

    @cached_property
    def output(self) -> fx.Node:
        """The node of what the network puts out."""
        found: fx.Node = next(node for node in self.graph.nodes if node.op == "output")
        return found

    @cached_property
    def nodes(self) -> tuple[fx.Node, ...]:
        """What has to be done for the output, in order; stored tensors are not among them."""
        needed = {*self.output.all_input_nodes, *self.writes}
        found = []
        for node in reversed(self.graph.nodes):
            if node in needed:
                needed |= set(node.all_input_nodes)
                if node.op not in ("placeholder", "get_attr"):
                    found.append(node)
        return tuple(reversed(found))

    @cached_property
    def places(self) -> dict[fx.Node, int]:
        """Of every node in `nodes`, its position; the images stand before them."""
        return {self.image: -1} | {node: i for i, node in enumerate(self.nodes)}

    @cached_property
    def _last_read(self) -> dict[fx.Node, int]:
        last: dict[fx.Node, int] = {}
        for i, node in enumerate((*self.nodes, self.output)):
            last |= dict.fromkeys(node.all_input_nodes, i)
        return last

    def crossing(self, place: int) -> list[fx.Node]:
        """What exists after the node at a position, and is read later."""
        return [
            node
            for node, made in self.places.items()
            if made <= place < self._last_read.get(node, -1)
        ]

    def module(self, graph: fx.Graph) -> fx.GraphModule:
        """A module that does what a graph over these parts says."""
        targets = {n.target for n in graph.nodes if n.op in ("call_module", "get_attr")}
        parts = {target: self.parts[str(target)] for target in targets}
        return fx.GraphModule(parts, graph, self.kind)

    def again(self, images: Tensor) -> dict[fx.Node, Any]:
        """What every node gives for other images; nothing where the network does not take them."""
        reader = fx.Interpreter(self.module(self.graph), garbage_collect_values=False)
        reader.module.eval()
        try:
            reader.run(images)
        except (RuntimeError, ValueError, AssertionError, IndexError, TypeError):
            return {}
        return dict(zip(self.graph.nodes, (reader.env.get(n) for n in _nodes(reader)), strict=True))


def _nodes(reader: fx.Interpreter) -> list[fx.Node]:
    return list(reader.graph.nodes)


def follow(backbone: nn.Module, images: Tensor, opened: Collection[str]) -> Followed:
    """Follows a network that is in evaluation mode.

    Args:
        backbone: left as it is.
        images: a batch for it.
        opened: paths of modules whose own code is followed too; others stay one operation each.

    Raises:
        ExeuntError: when it does not run on such images, or `torch.fx` cannot follow its code.
    """
    kind = type(backbone).__name__
    with _told_apart(backbone):
        tracer, known = _Tracer(images, opened), {*vars(backbone)}
        try:
            graph = tracer.trace(backbone, _defaults(backbone))
        except ExeuntError:
            raise
        except Exception as error:  # whatever anybody's forward makes of being followed
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ExeuntError(
                f"attach_exits: torch.fx cannot follow the code of the backbone ({kind}): {reason}"
            ) from error
        named = [n for n in graph.nodes if n.op in ("call_module", "get_attr")]
        parts = {str(node.target): _part(backbone, str(node.target)) for node in named}
        for name in parts.keys() - known:
            if name in vars(backbone):
                delattr(backbone, name)
    return Followed(kind, images, graph, parts, tracer.values, tracer.calls, tracer.writes)


class _Tracer(fx.Tracer):
    """Follows code, and does what it says."""

    def __init__(self, images: Tensor, opened: Collection[str]) -> None:
        super().__init__()
        self.images, self.opened = images, opened
        self.values: dict[fx.Node, Any] = {}
        self.calls: dict[str, list[fx.Node]] = {}
        self.writes: set[fx.Node] = set()
        self._doing = False  # an operation, whose own code is not to be followed

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name not in self.opened

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self._doing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self._doing:
            return forward(*args, **kwargs)
        out = super().call_module(m, forward, args, kwargs)
        if isinstance(out, fx.Proxy):
            self.calls.setdefault(self.path_of_module(m), []).append(out.node)
        return out

    def create_proxy(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Proxy:
        proxy = super().create_proxy(kind, target, *args, **kwargs)
        node = proxy.node
        for source in node.all_input_nodes:
            if source not in self.values:  # a tensor that the code itself made
                self.values[source] = _part(self.root, str(source.target))
        read = [self.values[source] for source in node.all_input_nodes]
        before = [version_of(value) for value in read]
        self._doing = True
        try:
            self.values[node] = self._done(node)
        finally:
            self._doing = False
        for source, value, version in zip(node.all_input_nodes, read, before, strict=True):
            if version_of(value) != version and source.op == "get_attr":
                raise ExeuntError(
                    f"attach_exits: the backbone ({type(self.root).__name__}) writes into "
                    f"{str(source.target)!r} as it runs, which stages cannot do for it"
                )
            if version_of(value) != version:
                self.writes.add(node)
        return proxy

    def _done(self, node: fx.Node) -> Any:
        asked: Any = (node.args, node.kwargs)
        args, kwargs = fx.map_arg(asked, lambda source: self.values[source])
        args = [[*given] if isinstance(given, list) else given for given in args]
        target: Any = node.target
        if node.op == "placeholder":  # the images, and behind them what `_defaults` has settled
            return node.args[0] if self.values else self.images
        if node.op == "get_attr":
            return _part(self.root, target)
        if node.op == "output":
            return args[0]
        if node.op == "call_method":
            name, run = f".{target}()", getattr(args[0], target)
            args = args[1:]
        elif node.op == "call_module":
            run = self.root.get_submodule(target)
            name = f"{target!r} ({type(run).__name__})"
        else:
            name, run = getattr(target, "__name__", str(target)), target
        try:
            return run(*args, **kwargs)
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            given = told([*args, *kwargs.values()])
            raise ExeuntError(
                f"attach_exits: {name} does not run on {given}: {reason}; give as image_shape "
                "(C, H, W) what the backbone takes"
            ) from error

    def to_bool(self, obj: fx.Proxy) -> bool:
        return bool(self.values[obj.node])

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        value = self.values[obj.node]
        if isinstance(value, tuple | list):
            parts: Any = obj
            return iter([parts[i] for i in range(len(value))])
        return super().iter(obj)


def version_of(value: Any) -> int:
    """How often a tensor was written to."""
    counted = isinstance(value, Tensor) and not value.is_inference()
    return value._version if counted else 0


def told(value: Any) -> str:
    """What something is, for messages."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        inside = [told(one) for one in value]
        return inside[0] if len(inside) == 1 else f"{len(inside)} things: {', '.join(inside[:3])}"
    return f"a {type(value).__name__}"


def _part(root: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(root.get_submodule(parent), name)


def _defaults(backbone: nn.Module) -> dict[str, Any]:
    """What its `forward` takes besides images, as it is without being given."""
    parameters = [*inspect.signature(backbone.forward).parameters.values()][1:]
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@contextmanager
def _told_apart(backbone: nn.Module) -> Iterator[None]:
    """Lets modules without parameters that have several names be others under each."""
    seen: set[nn.Module] = set()
    others: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in [*backbone.modules()]:
        for name, child in parent._modules.items():
            if child in seen and not [*child.parameters(), *child.buffers()]:
                others.append((parent, name, child))
            elif child is not None:
                seen.add(child)
    for parent, name, child in others:
        parent._modules[name] = copy.copy(child)
    try:
        yield
    finally:
        for parent, name, child in others:
            parent._modules[name] = child
