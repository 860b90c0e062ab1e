"""One graph that answers every question of cost, and that the generators read."""

from exeunt.graph.buffers import Buffer, buffers_of, live_bytes
from exeunt.graph.build import CapturedNet, build_graph
from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.interpret import interpret
from exeunt.graph.operators import Composite, Opaque, Operator
from exeunt.graph.plan import Plan, make_plan
from exeunt.graph.recompute import dial, plan_within
from exeunt.graph.row_buffers import RowBuffer
from exeunt.graph.stream import run_stream
from exeunt.graph.streamed import StreamedPlan, plan_stream
from exeunt.graph.verify import verify_plan
from exeunt.graph.views import Segment

__all__ = [
    "Buffer",
    "CapturedNet",
    "Composite",
    "Graph",
    "Node",
    "Opaque",
    "Operator",
    "Plan",
    "RowBuffer",
    "Segment",
    "StageGraph",
    "StreamedPlan",
    "buffers_of",
    "build_graph",
    "dial",
    "interpret",
    "live_bytes",
    "make_plan",
    "plan_stream",
    "plan_within",
    "run_stream",
    "verify_plan",
]
