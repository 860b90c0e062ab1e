"""What is measured: a network, and pictures of its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exeunt.data import Transform
from exeunt.graph import Graph, build_graph
from exeunt.net import MultiExitNet

if TYPE_CHECKING:
    from exeunt.quantize import QuantizedGraph


@dataclass(frozen=True, eq=False)
class Workload:
    """A network to be measured.

    Attributes:
        name: what it is called in tables.
        net: the network, in evaluation mode.
        transform: from a photograph to its input.
        pixels: pictures that it is run on, (N, H, W, C).
        images: batches (N, C, H, W) on which int8 finds its ranges.
        class_names: K of them.
    """

    name: str
    net: MultiExitNet
    transform: Transform
    pixels: NDArray[np.uint8]
    images: Sequence[Tensor]
    class_names: tuple[str, ...]

    @cached_property
    def inputs(self) -> Tensor:
        """The pictures as the network takes them, (N, C, H, W)."""
        return torch.stack([self.transform.normalise_pixels(one) for one in self.pixels])

    @cached_property
    def graph(self) -> Graph:
        """The network, lowered."""
        return build_graph(self.net, self.transform.image_size)

    @cached_property
    def onnx_graph(self) -> Graph:
        """The same, stages without a plain form being one operator."""
        return build_graph(self.net, self.transform.image_size, whole_stages=True)

    @cached_property
    def quantized(self) -> QuantizedGraph:
        """The network in integers, as generated C computes."""
        from exeunt.quantize import observe_ranges, quantize

        return quantize(self.graph, observe_ranges(self.graph, self.images))


def random_pixels(count: int, transform: Transform) -> NDArray[np.uint8]:
    """Pictures without meaning (N, H, W, C), always the same ones."""
    shape = (count, *transform.image_size, transform.channels)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def assigned_exits(shares: Sequence[float], count: int) -> list[int]:
    """An exit for each of `count` images, as many at each as `shares` say, in an order drawn once.

    What is left over by rounding down goes to the largest remainders.
    """
    whole = [int(share * count) for share in shares]
    remainders = [share * count - sure for share, sure in zip(shares, whole, strict=True)]
    for k in sorted(range(len(shares)), key=lambda k: -remainders[k])[: count - sum(whole)]:
        whole[k] += 1
    exits = np.repeat(np.arange(len(shares)), whole)
    return [int(k) for k in np.random.default_rng(0).permutation(exits)]


@torch.no_grad()
def set_batch_statistics(net: MultiExitNet, inputs: Tensor) -> MultiExitNet:
    """Gives the batch norms of a network with random weights the statistics that they meet.

    Without that its numbers shrink from layer to layer until nothing can be compared.
    """
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    net.train()(inputs)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return net.eval()
