"""All stages in one ONNX graph, later ones inside `If`, deciding by the policy.

A stage stands in the branch that is taken when the image has not left before it, so what is not
needed is not run. Quantisers leave alone what lies in branches: stages that are int8 already become
a graph in int8, while quantising the graph afterwards leaves nearly all of it in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from exeunt.export.onnx.builder import OPSET, Builder
from exeunt.export.onnx.decision import Memory, decide
from exeunt.export.onnx.stages import StageModel
from exeunt.graph import Graph
from exeunt.policies import Full, Policy

LOGITS, EXIT = "logits", "exit_index"
_Part = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]  # nodes and constants


def single_graph(graph: Graph, stages: Sequence[StageModel], policy: Policy) -> onnx.ModelProto:
    """Nests stages. The model takes one image (1, C, H, W), by its name in `graph`, and gives the
    `logits` (1, K) of the exit taken and the `exit_index` (1,), int64, from 0.

    Args:
        graph: that the stages were written from.
        stages: E of them, in float32 or int8.
        policy: that decides after each but the last.

    Raises:
        ExeuntError: when the policy has no form in operators, naming it.
    """
    outputs = graph.shapes[stages[0].logits]
    nodes, constants = _from(0, stages, policy, {}, outputs)
    made = helper.make_graph(
        nodes,
        "all stages",
        [_value(graph.image, (1, *graph.shapes[graph.image]))],
        _ends(0, outputs),
        constants,
    )
    first = stages[0].model
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name=first.producer_name,
        ir_version=first.ir_version,
    )
    facts = {one.key: one.value for one in first.metadata_props if one.key != "stage"}
    helper.set_model_props(model, facts | {"policy": policy.spec})
    onnx.checker.check_model(model, full_check=True)
    return model


def _from(
    k: int, stages: Sequence[StageModel], policy: Policy, memory: Memory, outputs: tuple[int, ...]
) -> _Part:
    """Stage k and whatever may come after it, which give the outputs of level k."""
    stage = stages[k]
    nodes, constants = _apart(stage, f"stage_{k + 1}/")
    if k == len(stages) - 1:
        return [*nodes, *_leaving(stage, k, k)], constants
    build = Builder(f"policy_{k + 1}/")
    if isinstance(policy, Full):
        leave = build.add("Constant", value=helper.make_tensor("never", TensorProto.BOOL, [1], [0]))
    else:
        leave, memory = decide(build, policy, k, stage.logits, memory)
    after, others = _from(k + 1, stages, policy, memory, outputs)
    go_on = helper.make_graph(after, f"after exit {k + 1}", [], _ends(k + 1, outputs), others)
    gone = helper.make_graph(_leaving(stage, k, k + 1), f"exit {k + 1}", [], _ends(k + 1, outputs))
    choice = helper.make_node(
        "If", [leave], _names(k), name=f"exit_{k + 1}", then_branch=gone, else_branch=go_on
    )
    return [*nodes, *build.nodes, choice], [*constants, *build.constants.values()]


def _apart(stage: StageModel, prefix: str) -> _Part:
    """A stage's nodes and constants; what is its own has names that no other stage has."""
    shared = {*stage.inputs, stage.logits, *stage.gives, ""}

    def renamed(name: str) -> str:
        return name if name in shared else prefix + name

    model = onnx.ModelProto()
    model.CopyFrom(stage.model)
    for node in model.graph.node:
        node.name = prefix + node.name
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
    for constant in model.graph.initializer:
        constant.name = renamed(constant.name)
    return list(model.graph.node), list(model.graph.initializer)


def _leaving(stage: StageModel, k: int, level: int) -> list[onnx.NodeProto]:
    """Makes what exit k gives the outputs of a level."""
    logits, number = _names(level)
    index = helper.make_tensor("index", TensorProto.INT64, [1], [k])
    return [
        helper.make_node("Identity", [stage.logits], [logits], name=f"{logits}/{k + 1}"),
        helper.make_node("Constant", [], [number], name=f"{number}/{k + 1}", value=index),
    ]


def _names(level: int) -> list[str]:
    """What the outputs are called inside so many branches: names are given once in all of them."""
    return [name if level == 0 else f"{name}/{level}" for name in (LOGITS, EXIT)]


def _ends(level: int, outputs: tuple[int, ...]) -> list[onnx.ValueInfoProto]:
    logits, number = _names(level)
    return [_value(logits, (1, *outputs)), _value(number, (1,), TensorProto.INT64)]


def _value(name: str, shape: tuple[int, ...], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)
