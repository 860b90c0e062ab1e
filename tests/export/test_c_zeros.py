"""int8 networks in which weights, channels or maps are nothing but zeros."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exeunt.data import Transform
from exeunt.export.c import CModel, Int8, build_host, compare, run_device, run_host, write_c
from exeunt.export.c.boards import can_emulate
from exeunt.graph import build_graph, plan_stream
from exeunt.net import MultiExitNet
from exeunt.ops.conv import ConvNormAct, InvertedResidual
from exeunt.ops.rex import ReX2d
from exeunt.policies import parse_policy
from exeunt.quantize import IntegerPolicy, QuantizedNet, observe_ranges, quantize, run_quantized

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")

SHAPE = (3, 14, 12)


@pytest.fixture
def net(chained: Callable[..., MultiExitNet], lively: Callable[..., MultiExitNet]) -> MultiExitNet:
    torch.manual_seed(0)
    links = [
        (ConvNormAct(3, 6, 3), 6),
        (ReX2d(6, 4, 1, (4, 3), 2), 8),
        (InvertedResidual(8, 8, 1, 2), 8),
    ]
    made = lively(chained(3, links, (0, 1)), torch.randn(4, *SHAPE))
    for stage in made.stages:
        nn.init.normal_(stage.exit.classifier.bias)
    return made


def zero(*tensors: Tensor) -> None:
    for tensor in tensors:
        nn.init.zeros_(tensor)


def a_class(net: MultiExitNet) -> None:
    for stage in net.stages:
        classifier = stage.exit.classifier
        zero(classifier.weight[1], classifier.bias[1])


def classifiers(net: MultiExitNet) -> None:
    for stage in net.stages:
        zero(*stage.exit.classifier.parameters())


def a_classifier_without_weights(net: MultiExitNet) -> None:
    zero(net.stages[0].exit.classifier.weight)


def rex(net: MultiExitNet) -> None:
    (module,) = (m for m in net.modules() if isinstance(m, ReX2d))
    zero(*module.parameters())


def almost_rex(net: MultiExitNet) -> None:
    """Finer than its states, which have 16 bits."""
    (module,) = (m for m in net.modules() if isinstance(m, ReX2d))
    for parameter in module.parameters():
        parameter.mul_(1e-4)


def channels(net: MultiExitNet) -> None:
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        zero(norm.weight[::2], norm.bias[::2])


def constant_maps(net: MultiExitNet) -> None:
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        zero(norm.weight)


def dead_maps(net: MultiExitNet) -> None:
    """Of which relu leaves nothing."""
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.constant_(norm.bias, -100)


def everything(net: MultiExitNet) -> None:
    zero(*net.parameters())


def huge_scores(net: MultiExitNet) -> None:
    """One step of a score is worth so much that its softness has more than 32 bits."""
    for stage in net.stages:
        stage.exit.classifier.weight.mul_(1e9)
        stage.exit.classifier.bias.mul_(1e9)


@pytest.mark.parametrize(
    "change",
    [
        a_class,
        classifiers,
        a_classifier_without_weights,
        rex,
        almost_rex,
        channels,
        constant_maps,
        dead_maps,
        everything,
        huge_scores,
    ],
    ids=lambda change: change.__name__,
)
def test_zeros_are_numbers_like_others(
    change: Callable[[MultiExitNet], None],
    net: MultiExitNet,
    images: Callable[..., np.ndarray],
    raw: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """Integers stay near the floats, and C says what Python says, on a device too."""
    with torch.no_grad():
        change(net)
    pixels, transform = images(2, SHAPE), Transform(SHAPE[1:])
    inputs = torch.stack([transform.normalise_pixels(image) for image in pixels])
    graph = build_graph(net, SHAPE[1:])
    quantized = quantize(graph, observe_ranges(graph, [inputs], "minmax"))
    with torch.no_grad():
        wanted, found = net(inputs), QuantizedNet(quantized)(inputs)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0.1 * float(theirs.abs().max()))

    scales = [quantized.logit_scale(k) for k in range(len(graph.stages))]
    policy = IntegerPolicy.of(parse_policy("confidence:0.5"), scales)
    names = [str(k) for k in range(net.num_classes)]
    model = CModel("net", "", Int8(quantized, policy), plan_stream(graph, 1), transform, names, {})
    write_c(model, tmp_path / "net")
    build_host(tmp_path / "net", tmp_path / "program", ("-O0",))
    scores = run_quantized(quantized, inputs)
    compare(run_host(tmp_path / "program", raw(pixels)), scores, ["a", "b"], integers=True)
    if change in (channels, everything) and can_emulate("cortex-m4"):
        run = run_device(tmp_path / "net", "net", raw(pixels), len(pixels))
        compare(run.answers, scores, ["a", "b"], integers=True)
