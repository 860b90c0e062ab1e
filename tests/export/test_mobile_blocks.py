"""Blocks of mobile networks, from torch to integers: the same numbers, the same multiply-adds."""

from __future__ import annotations

import torch
from torch import Tensor

from exeunt.export.onnx import open_stages, write_stages
from exeunt.export.onnx.int8 import quantize_stages
from exeunt.graph import build_graph, interpret, plan_stream, run_stream
from exeunt.net import MultiExitNet
from exeunt.quantize import QuantizationAware, observe_ranges, quantize, run_quantized

Mobile = tuple[str, MultiExitNet, Tensor]

FUSED = {
    "mobilenetv3": ("Conv", "Multiply", "InvertedResidual", "InvertedResidual"),
    "efficientnet": ("GlobalAverage", "Multiply"),
    "shufflenetv2": ("Shuffle", "Shuffle"),
    "regnet": ("Conv", "Conv", "Conv"),
    "ghostnet": ("ParametricReLU", "ParametricReLU"),
    "tensorflow": ("Conv", "Conv"),
    "python": ("Multiply", "Lines", "Multiply", "Shuffle"),
    "gates": ("Unflatten", "Conv", "Multiply", "Multiply", "Shuffle", "Multiply", "Add"),
    "chosen": ("Shuffle", "Multiply", "Add", "Multiply", "GridPool", "ChannelPool", "Multiply"),
    "upwards": ("Lines", "Conv", "Lines"),
}
"""What a graph has, in this order, among other things, when it streams."""


def test_whole_row_by_row_and_in_integers(mobile: Mobile) -> None:
    name, net, images = mobile
    size = (images.shape[2], images.shape[3])
    graph = build_graph(net, size)
    with torch.no_grad():
        wanted = net(images)
    reach = [logits.abs().max().item() for logits in wanted]
    for mine, theirs in zip(interpret(graph, images), wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5 * max(reach))
    assert graph.exit_macs == tuple(info.macs for info in net.exit_info(size))
    plan = plan_stream(graph, 4)
    kinds = iter([node.operator.kind for node in plan.graph.nodes])
    assert all(kind in kinds for kind in FUSED[name]), FUSED[name]
    for mine, theirs in zip(run_stream(plan, images[0]), wanted, strict=True):
        torch.testing.assert_close(mine, theirs[0], rtol=0, atol=1e-5 * max(reach))
    quantized = quantize(graph, observe_ranges(graph, [images], "minmax"))
    for k, scores in enumerate(run_quantized(quantized, images)):
        far = (scores * quantized.logit_scale(k).scale - wanted[k]).abs().max().item()
        assert far < 0.15 * reach[k], f"exit {k}: {far:.3g} of {reach[k]:.3g}"


def test_in_onnx(mobile: Mobile) -> None:
    _, net, images = mobile
    graph = build_graph(net, (images.shape[2], images.shape[3]))
    stages, x = write_stages(graph, {}), images.numpy()
    with torch.no_grad():
        wanted = [logits.numpy() for logits in net(images)]
    int8 = quantize_stages(graph, stages, [x])
    for most, written in ((1e-4, stages), (0.15, int8)):
        for mine, theirs in zip(open_stages("image", written).forward(x), wanted, strict=True):
            assert abs(mine - theirs).max() < most * abs(theirs).max()


def test_rounded_in_training_as_integers_are(mobile: Mobile) -> None:
    _, net, images = mobile
    size = (images.shape[2], images.shape[3])
    made = QuantizationAware(net, size)
    ranges = made.ranges([images], "minmax")
    made.cover(ranges)
    quantized = quantize(build_graph(net, size), ranges)
    rounded = made(images)
    for k, scores in enumerate(run_quantized(quantized, images)):
        step = quantized.logit_scale(k).scale
        far = (scores * step - rounded[k]).abs().max().item()
        assert far < 0.05 * rounded[k].abs().max().item()
    sum(logits.square().mean() for logits in rounded).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
