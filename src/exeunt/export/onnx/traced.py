"""Stages without a plain form, such as those with attention: torch's own exporter writes them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import onnx
import torch
from onnx import compose, helper
from torch import Tensor, nn

from exeunt.errors import ExeuntError
from exeunt.export.onnx.builder import BATCH, OPSET, value_of
from exeunt.graph import StageGraph, UnloweredStage
from exeunt.graph.operators import Shape
from exeunt.mode import evaluating


class _Wanted(nn.Module):
    """A stage that gives some of its outputs."""

    def __init__(self, stage: nn.Module, numbers: Sequence[int]) -> None:
        super().__init__()
        self.stage, self.numbers = stage, numbers

    def forward(self, *state: Tensor) -> tuple[Tensor, ...]:
        made = self.stage(*state)
        return tuple(made[number] for number in self.numbers)


def is_unlowered(stage: StageGraph) -> bool:
    """Whether a stage is one operator."""
    return isinstance(stage.nodes[0].operator, UnloweredStage)


@torch.no_grad()
def write_traced(
    stage: StageGraph, path: str, wanted: Sequence[str], shapes: Mapping[str, Shape]
) -> onnx.ModelProto:
    """A stage that is one operator, as torch's exporter writes it, the batch free.

    Args:
        stage: of a graph.
        path: of it in the net.
        wanted: names of what it is to give: the logits first.
        shapes: of all tensors.

    Raises:
        ExeuntError: when torch cannot export it, naming it.
    """
    numbers = {node.output: node.operator.number for node in stage.nodes}  # type: ignore[attr-defined]
    module, taken = stage.nodes[0].operator.stage, stage.nodes[0].inputs  # type: ignore[attr-defined]
    weight = next(module.parameters())
    inputs = tuple(weight.new_zeros(2, *shapes[name]) for name in taken)
    written, fast = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # which is one operator that ONNX has not
    try:
        with evaluating(module), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the older exporter, which needs no more packages
            torch.onnx.export(
                _Wanted(module, [numbers[name] for name in wanted]),
                inputs,
                written,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=OPSET,
                input_names=list(taken),
                output_names=list(wanted),
                dynamic_axes={name: {0: BATCH} for name in (*taken, *wanted)},
            )
    except Exception as error:  # whatever a module's code makes of tracing
        reason = str(error).partition("\n")[0]
        raise ExeuntError(f"{path}: torch cannot write it as ONNX ({reason})") from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    model = onnx.load_from_string(written.getvalue())
    model = compose.add_prefix(
        model, f"{path}/", rename_inputs=False, rename_outputs=False, rename_functions=False
    )
    _share_constants(model.graph)
    model.graph.name = path
    model.producer_name, model.producer_version = "exeunt", ""
    for infos, names in ((model.graph.input, taken), (model.graph.output, wanted)):
        del infos[:]
        infos.extend(value_of(name, shapes[name]) for name in names)
    del model.graph.value_info[:]
    return model


def _share_constants(graph: onnx.GraphProto) -> None:
    """Lets nodes read constants themselves, not copies of them, which quantisers take for more."""
    stored = {constant.name for constant in graph.initializer}
    copies = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.input[0] in stored
    }
    kept = [node for node in graph.node if node.output[0] not in copies]
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = copies.get(name, name)
    del graph.node[:]
    graph.node.extend(kept)


def sealed_with(model: onnx.ModelProto, facts: dict[str, str]) -> onnx.ModelProto:
    """The model with these facts in its metadata, checked."""
    helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return model
