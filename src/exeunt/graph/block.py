"""Where in a network a call stands."""

from __future__ import annotations

from torch import fx, nn

from exeunt.graph.capture import Captured

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
"""Modules that are no blocks, for all that they hold some; subclasses of them are."""


def module_of(node: fx.Node, path: str) -> str:
    """The path of the innermost module around a node."""
    around = _around(node)
    return f"{path}.{around[-1]}" if around else path


def block_of(node: fx.Node, captured: Captured, path: str) -> tuple[str, str]:
    """The outermost module around a node that is no mere container, and its class."""
    for name in _around(node):
        kind = captured.classes[name]
        if name != "trunk" and kind not in CONTAINERS:
            return f"{path}.{name}", kind.__name__
    return path, "Stage"


def _around(node: fx.Node) -> list[str]:
    """Paths of the modules around a node, the outermost first."""
    return [name for name, _ in node.meta.get("nn_module_stack", {}).values() if name]
