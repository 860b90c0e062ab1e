"""One graph that answers every question of cost, and that the generators read."""

from exeunt.graph.build import build_graph
from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.interpret import interpret
from exeunt.graph.operators import Operator, Whole

__all__ = ["Graph", "Node", "Operator", "StageGraph", "Whole", "build_graph", "interpret"]
