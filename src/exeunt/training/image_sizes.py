"""Whether a network meets borders at the size of its evaluation as it learnt them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from exeunt.mode import evaluating
from exeunt.net import MultiExitNet
from exeunt.ops.rex import ReX2d

_STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, ReX2d)
_STEP, _FAR = 8, 1.6  # sizes that are named: multiples, and how far from the one of training


def remainders(net: MultiExitNet, size: int) -> tuple[int, ...]:
    """What strided layers leave over at the end of a side: its length modulo the stride, in the
    order in which they run, for an image of `size` x `size` pixels.
    """
    found: list[int] = []

    def look(stride: int, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0].shape[-1] % stride)

    handles = [
        module.register_forward_pre_hook(partial(look, stride))
        for module in net.modules()
        if (stride := _stride(module)) > 1
    ]
    try:
        with evaluating(net), torch.no_grad():
            net(torch.zeros(1, net.in_chans, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return tuple(found)


def sizes_note(net: MultiExitNet, train_size: int, image_size: int) -> str | None:
    """What to say of two sizes at which strided layers end on different pixels; None if they do
    not. A convolution of stride 2 that learnt on even sides sees one line of padding less, or more,
    at the end of an odd one, and so does every layer behind it.
    """
    if image_size == train_size:
        return None
    learnt = remainders(net, train_size)
    if remainders(net, image_size) == learnt:
        return None
    near = range(_STEP * -(-train_size // _STEP), int(_FAR * train_size) + 1, _STEP)
    alike = [size for size in near if remainders(net, size) == learnt]
    named = f"; {', '.join(map(str, alike))} end like {train_size}" if alike else ""
    return (
        f"train_size={train_size}, image_size={image_size}: strided layers end on another pixel "
        f"at {image_size} than at {train_size}, which can cost late exits several points{named}"
    )


def _stride(module: nn.Module) -> int:
    if not isinstance(module, _STRIDED):
        return 1
    stride = module.stride
    return int(stride[-1] if isinstance(stride, tuple) else stride)
