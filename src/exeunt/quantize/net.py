"""A quantised network that is run as any other."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from torch import Tensor, nn

from exeunt.quantize.graph import QuantizedGraph, run_quantized


class QuantizedNet(nn.Module):
    """Takes images (N, C, H, W) and gives E logits (N, K), float32: integers times their scale.

    Its buffers are the integer weights and biases, so that its fingerprint tells it from others.
    """

    def __init__(self, quantized: QuantizedGraph) -> None:
        super().__init__()
        self.quantized = quantized
        self.num_exits = len(quantized.graph.stages)
        for number, operator in enumerate(quantized.operators.values()):
            for path, tensor in _tensors(operator, str(number)):
                self.register_buffer(path.replace(".", "_"), tensor)

    def forward(self, images: Tensor) -> list[Tensor]:
        scores = run_quantized(self.quantized, images)
        return [self.quantized.logit_scale(k).real(mine) for k, mine in enumerate(scores)]


def _tensors(part: object, path: str) -> list[tuple[str, Tensor]]:
    """The tensors of a dataclass, those of its parts among them."""
    if isinstance(part, Tensor):
        return [(path, part)]
    if isinstance(part, tuple):
        items = [(str(number), item) for number, item in enumerate(part)]
    elif is_dataclass(part):
        items = [(field.name, getattr(part, field.name)) for field in fields(part)]
    else:
        items = []
    return [found for name, item in items for found in _tensors(item, f"{path}.{name}")]
