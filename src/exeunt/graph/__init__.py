"""One graph that answers every question of cost, and that the generators read."""

from exeunt.graph.buffers import Buffer, buffers_of, live_bytes
from exeunt.graph.build import CapturedNet, build_graph
from exeunt.graph.call import Call
from exeunt.graph.check import check_operator
from exeunt.graph.graph import Graph, Node, StageGraph
from exeunt.graph.interpret import interpret
from exeunt.graph.operators import Composite, Opaque, Operator, UnloweredStage
from exeunt.graph.own import OwnOperator, register_operator
from exeunt.graph.plan import Plan, make_plan
from exeunt.graph.recompute import dial, plan_within
from exeunt.graph.row_buffers import RowBuffer
from exeunt.graph.stream import run_stream
from exeunt.graph.streamed import StreamedPlan, plan_stream
from exeunt.graph.verify import verify_plan
from exeunt.graph.views import Segment

__all__ = [
    "Buffer",
    "Call",
    "CapturedNet",
    "Composite",
    "Graph",
    "Node",
    "Opaque",
    "Operator",
    "OwnOperator",
    "Plan",
    "RowBuffer",
    "Segment",
    "StageGraph",
    "StreamedPlan",
    "UnloweredStage",
    "buffers_of",
    "build_graph",
    "check_operator",
    "dial",
    "interpret",
    "live_bytes",
    "make_plan",
    "plan_stream",
    "plan_within",
    "register_operator",
    "run_stream",
    "verify_plan",
]
