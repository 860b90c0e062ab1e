"""From ATen operators to plain ones."""

from __future__ import annotations

from torch import Tensor, fx

from exeunt.graph.call import Call, cost_of, gives_tensor, shape_of, sizes_of, tensors_of
from exeunt.graph.capture import Captured
from exeunt.graph.composed import WAYS, reduced
from exeunt.graph.lowering import Lowered, Lowering
from exeunt.graph.operators import Opaque
from exeunt.graph.plain_calls import OPERATORS, REGISTERED, SAME, is_spread
from exeunt.registry import import_plugins


def lower(
    captured: Captured, taken: list[str], path: str, *, opaque: bool = False
) -> tuple[Lowered, list[str]]:
    """Lowers a captured stage.

    Args:
        captured: the stage.
        taken: names of the tensors of its state, as they come in.
        path: of the stage in the net.
        opaque: let an operator from tensors to one tensor that has no plain form stand as `Opaque`.

    Returns:
        Its nodes, and the names of what it returns: logits, then the state.

    Raises:
        ExeuntError: for an operator that has no plain form here, naming its module and shapes and
            what there is.
    """
    import_plugins()
    work = _Stage(captured, path, opaque)
    arriving = iter(taken)
    returned: list[str] = []
    for node in captured.program.graph.nodes:
        if node.op == "placeholder":
            if captured.constant(node.name) is None:
                name = next(arriving)
                work.lowered.names[node.name], work.lowered.shapes[name] = name, shape_of(node)
        elif node.op == "call_function" and node.users:
            work.call(node)
        elif node.op == "output":
            returned = [work.name_of(out) for out in node.args[0]]
    return work.lowered, returned


class _Stage(Lowering):
    """Goes through its calls."""

    def call(self, node: fx.Node) -> None:
        arguments = [*tensors_of(node.args), *tensors_of(node.kwargs.values())]
        stored = {i: self._constant(a) for i, a in enumerate(arguments)}
        if None not in stored.values() and self._computed(node):
            return
        if 0 in stored and stored[0] is not None and is_spread(node):
            self.found[node.name] = stored[0]
            return
        constants = {i: t.float() for i, t in stored.items() if t is not None}
        inputs = [a for i, a in enumerate(arguments) if i not in constants]
        call = Call(node, inputs, constants, self.captured)
        known, moved = self.lowered.names, self.lowered.moved
        if inputs and inputs[0].name in moved and reduced(self, call):
            return
        same = node.target in SAME and SAME[node.target](call)
        if same and not inputs:
            self.found[node.name] = constants[0]
            return
        if same and (inputs[0].name in known or (is_spread(node) and self.is_named(inputs[0]))):
            known[node.name] = known[inputs[0].name]
            return
        if any(way(self, call) for way in WAYS):
            return
        make = REGISTERED.get(node.target) or OPERATORS.get(node.target)
        made = None
        if make is not None and all(self.is_named(a) for a in inputs):
            made = make(call)
        if made is None and self.opaque and inputs and all(map(gives_tensor, [node, *inputs])):
            read = [self.name_of(i) for i in inputs]
            self.add(node, Opaque(str(node.target), cost_of(node)), {}, read, sizes_of(node))
            return
        if made is None:
            raise self.refusal(node, inputs)
        operator, weights = made
        self.add(node, operator, weights, [self.name_of(i) for i in inputs], shape_of(node))

    def _constant(self, node: fx.Node) -> Tensor | None:
        """What is stored, or computed of that alone."""
        known = self.captured.constant(node.name)
        return self.found.get(node.name) if known is None else known

    def _computed(self, node: fx.Node) -> bool:
        """Computes what hangs on nothing but what is stored; returns whether that could be done."""
        if getattr(node.target, "namespace", "") != "aten" or node.target._schema.is_mutable:  # type: ignore[union-attr]
            return False
        args, kwargs = fx.map_arg((node.args, node.kwargs), self._constant)
        made = args[0] if is_spread(node) else node.target(*args, **kwargs)  # type: ignore[operator]
        if isinstance(made, Tensor):
            self.found[node.name] = made
        return isinstance(made, Tensor)
