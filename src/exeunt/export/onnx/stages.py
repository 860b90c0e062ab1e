"""A lowered net as one ONNX model for each stage."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import torch

from exeunt.errors import ExeuntError
from exeunt.export.onnx.builder import Builder
from exeunt.export.onnx.operators import write_node
from exeunt.export.onnx.traced import is_unlowered, sealed_with, write_traced
from exeunt.graph import Graph


@dataclass(frozen=True)
class StageModel:
    """One stage.

    Attributes:
        model: the checked model.
        inputs: names of the tensors that it reads: the image, or what earlier stages gave.
        logits: name of the tensor that its exit gives, the first output.
        gives: names of the tensors that it computes for later stages, the other outputs.
        passed_on: names of tensors that later stages read and that it does not touch.
    """

    model: onnx.ModelProto
    inputs: tuple[str, ...]
    logits: str
    gives: tuple[str, ...]
    passed_on: tuple[str, ...]


@torch.no_grad()
def write_stages(graph: Graph, facts: dict[str, str]) -> list[StageModel]:
    """Writes every stage in standard operators, the batch free, shapes otherwise those of `graph`.

    What no later stage reads is no output, and what a stage merely passes on is not in its model.

    Args:
        graph: of the net.
        facts: for the metadata of every file.

    Raises:
        ExeuntError: for an operator without an ONNX form here, naming its module, or a stage
            without a plain form that torch cannot write either.
    """
    read = [{name for node in stage.nodes for name in node.inputs} for stage in graph.stages]
    held, stages = [graph.image], []
    for k, stage in enumerate(graph.stages):
        later = set().union(*read[k + 1 :])
        made = [node.output for node in stage.nodes]
        if stage.logits not in made:
            raise ExeuntError(f"stages.{k}: its logits are not computed in it")
        inputs = tuple(name for name in held if name in read[k])
        gives = tuple(name for name in made if name in later and name != stage.logits)
        passed_on = tuple(name for name in held if name in later)
        outputs, told = (stage.logits, *gives), {**facts, "stage": str(k + 1)}
        if is_unlowered(stage):
            traced = write_traced(stage, f"stages.{k}", outputs, graph.shapes)
            model, inputs = sealed_with(traced, told), stage.nodes[0].inputs
        else:
            build = Builder()
            for node in stage.nodes:
                write_node(build, node, graph.shapes)
            model = build.model(f"stage {k + 1}", inputs, outputs, dict(graph.shapes), told)
        stages.append(
            StageModel(
                model,
                inputs,
                stage.logits,
                gives,
                tuple(name for name in passed_on if name not in made),
            )
        )
        held = [name for name in (*held, *made) if name in later]
    return stages
