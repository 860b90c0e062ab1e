"""A net that rounds as int8 will, in float32 and with gradients: what quantisation-aware training
trains.

Weights take the int8 values that `quantize` gives them, one scale per output channel; every tensor
takes the values of its scale, the image and the scores too. Batch norms are folded into the
convolutions with the statistics that they have. What is finer than that stays as it is: factors of
sums, shares of interpolation, ReX's gates, their tables, and its states of 16 bits. Backwards,
rounding counts as the identity, and what was clipped gets no gradient (the straight-through
estimator: Bengio et al. 2013, Jacob et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from exeunt.errors import ExeuntError
from exeunt.graph import CapturedNet, Graph, Node
from exeunt.graph.normed import into_linear, take_norms
from exeunt.graph.operators import Composite
from exeunt.net import MultiExitNet
from exeunt.ops.rex import ReX2d
from exeunt.quantize.quantize import quantize
from exeunt.quantize.ranges import Range, observe_ranges
from exeunt.quantize.rex import STATE_ONE
from exeunt.quantize.scale import Scale
from exeunt.quantize.scales import WEIGHT_MOST, WEIGHTED, reach, weight_step

_UPWARDS = 2.0**-12


class QuantizationAware(nn.Module):
    """Takes images (N, C, H, W) and gives E logits (N, K), float32, as integers would have them.

    Its parameters are those of the net. It has no scales before `cover` gives it some; they stay
    until the next call, whatever becomes of the weights. Images it runs on may have another size
    than those that scales were found on.

    Args:
        net: kept, and read at every call.
        image_size: height and width of the images to find scales on.

    Raises:
        ExeuntError: when the net cannot be lowered.
    """

    def __init__(self, net: MultiExitNet, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.net = net
        self.scales: Mapping[str, Scale] = {}
        self._image_size = image_size
        self._captured = {image_size: CapturedNet.of(net, image_size)}

    @torch.no_grad()
    def ranges(self, batches: Iterable[Tensor], method: str = "mse") -> dict[str, Range]:
        """How far tensors reach with the weights as they are now (`observe_ranges`)."""
        return observe_ranges(self._graph(self._image_size), batches, method)

    @torch.no_grad()
    def cover(self, ranges: Mapping[str, Range]) -> None:
        """Lets the scales reach so far.

        Raises:
            ExeuntError: when the net has no integer form, as `quantize` says it.
        """
        self.scales = quantize(self._graph(self._image_size), ranges).scales

    def _graph(self, size: tuple[int, int]) -> Graph:
        """With the weights as they are now."""
        if size not in self._captured:
            self._captured[size] = CapturedNet.of(self.net, size)
        return take_norms(self._captured[size].graph(self.net))

    def forward(self, images: Tensor) -> list[Tensor]:
        graph = self._graph((images.shape[2], images.shape[3]))
        if graph.shapes.keys() != self.scales.keys():
            raise ExeuntError(
                f"images of {images.shape[2]} x {images.shape[3]} take other operators than those "
                f"of {self._image_size[0]} x {self._image_size[1]}, which scales were found on"
            )
        alive = {graph.image: rounded(images, self.scales[graph.image])}
        for node in graph.nodes:
            alive[node.output] = self.run_node(node, [alive[name] for name in node.inputs])
        return [alive[stage.logits] for stage in graph.stages]

    def run_node(self, node: Node, inputs: Sequence[Tensor]) -> Tensor:
        """What a node makes of numbers that its inputs can hold, rounded as its output is."""
        taken, operator = self.scales[node.inputs[0]], node.operator
        if operator.moves:
            return operator.run(inputs, node.constants)
        if isinstance(operator, Composite):
            linear: dict[str, Tensor] = {}
            norm: dict[str, Tensor] = {}
            if isinstance(operator.module, ReX2d):
                linear, norm = into_linear(operator.module, node.constants)
            nearest = _rounded_recurrent(operator.module, linear, taken)
            made: Tensor = functional_call(operator.module, nearest, (inputs[0],))
            out = operator.finish(made, norm)
        else:
            out = operator.run(inputs, _rounded_constants(node, taken))
        given = self.scales[node.output]
        if operator.keeps_scale:  # often halfway between two integers, which goes up
            out = out + _UPWARDS * given.scale
        return rounded(out, given)


def rounded(x: Tensor, scale: Scale) -> Tensor:
    """What the integers nearest to `x` stand for; of two the even one."""
    return torch.fake_quantize_per_tensor_affine(x, scale.scale, scale.zero, *scale.limits)


def rounded_weights(
    weight: Tensor, bias: Tensor | None, step_in: float, most: int
) -> tuple[Tensor, Tensor | None]:
    """What the int8 weights and the integer biases nearest to these stand for.

    Args:
        weight: (C', ...), one scale for each row.
        bias: (C'), added to the sums, in their steps.
        step_in: what one step of the input is worth.
        most: how many steps from 0 the input may be.
    """
    with torch.no_grad():
        rows = weight.flatten(1).double()
        offset = rows.new_zeros(len(rows)) if bias is None else bias.double()
        step = weight_step(rows, offset / step_in, most)
        zero = torch.zeros_like(step, dtype=torch.int32)
        apart = torch.round(offset / (step_in * step)) * (step_in * step) - offset
    nearest = torch.fake_quantize_per_channel_affine(
        weight, step.float(), zero, 0, -WEIGHT_MOST, WEIGHT_MOST
    )
    return nearest, None if bias is None else bias + apart.to(bias.dtype)


def _rounded_constants(node: Node, taken: Scale) -> Mapping[str, Tensor]:
    names = WEIGHTED.get(type(node.operator))
    if names is None:
        return node.constants
    weight, bias = node.constants[names[0]], node.constants.get(names[1])
    rows = weight[:, None] if weight.dim() == 1 else weight
    nearest, offset = rounded_weights(rows, bias, taken.scale, reach(taken.zero))
    found = {names[0]: nearest.view_as(weight)}
    return found if offset is None else found | {names[1]: offset}


def _rounded_recurrent(
    module: nn.Module, instead: Mapping[str, Tensor], taken: Scale
) -> dict[str, Tensor]:
    """Parameters of ReX or ReNet by name: the first matrices read the input, the others states. The
    biases of FastGRNN, two to a matrix, stay as they are.
    """
    parameters: dict[str, Tensor] = {**dict(module.named_parameters()), **instead}
    found = {}
    for name, weight in parameters.items():
        if "weight" in name:
            first = name.startswith(("rnn1.weight_ih", "columns.weight_ih"))
            step = taken.scale if first else 1 / STATE_ONE
            most = reach(taken.zero) if first else STATE_ONE
            other = name.replace("weight", "bias")
            bias = parameters.get(other)
            bias = None if bias is not None and len(bias) != len(weight) else bias
            found[name], offset = rounded_weights(weight, bias, step, most)
            if offset is not None:
                found[other] = offset
    return found
