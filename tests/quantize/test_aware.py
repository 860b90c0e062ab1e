"""Rounding while training against numbers by hand, a net by hand, and the integers to come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph
from exeunt.models import create_model
from exeunt.net import MultiExitNet
from exeunt.ops.renet import ReNet2d
from exeunt.quantize import QuantizationAware, QuantizedNet, Scale, observe_ranges, quantize
from exeunt.quantize.aware import rounded, rounded_weights

NETS: dict[str, dict[str, Any]] = {
    "rex_mobilenetv2_035": {},
    "rex_mobilenetv2_050": {"rex_form": {"cell": "mingru", "norm": True}},
    "rex_resnet34": {"layers": (1, 1, 2, 1), "widths": (8, 8, 16, 24)},
    "densenetbc100_cifar": {"depth": 16, "growth": 4},
    "msdnet_cifar10": {
        **{"base": 2, "step": 1, "blocks": 3},
        **{"width": 4, "growth": 2, "exit_width": 8},
    },
    "ranet_cifar10": {
        **{"width": 4, "growth": 4, "step": 1, "exit_width": 8},
        **{"scales": (1, 2), "factors": (2, 1)},
    },
    "mobilenetv2_035": {"exit_head": "mixed"},
}


def small(name: str) -> MultiExitNet:
    torch.manual_seed(0)
    return create_model(name, num_classes=5, **NETS[name])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def settled(net: MultiExitNet, images: Tensor) -> MultiExitNet:
    """With batch norms that fit these images."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        net.train()(images)
    return net.eval()


def in_integers(net: MultiExitNet, images: Tensor) -> QuantizedNet:
    graph = build_graph(net, (images.shape[2], images.shape[3]))
    return QuantizedNet(quantize(graph, observe_ranges(graph, [images])))


def as_int8(net: MultiExitNet, images: Tensor) -> QuantizationAware:
    made = QuantizationAware(net, (images.shape[2], images.shape[3]))
    made.cover(made.ranges([images]))
    return made


def test_weights_take_steps_of_their_largest() -> None:
    weight = torch.tensor([[1.27, -0.504, 0.0149], [0.0, 0.0, 0.0], [-2.54, 0.05, 0.031]])
    weight.requires_grad_()
    found, offset = rounded_weights(weight, torch.tensor([0.3, 0.0, -0.011]), 0.5, most=128)
    assert offset is not None
    torch.testing.assert_close(offset, torch.tensor([0.3, 0.0, -0.01]))
    wanted = torch.tensor([[1.27, -0.50, 0.01], [0.0, 0.0, 0.0], [-2.54, 0.04, 0.04]])
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)
    (found * noise(3, 3)).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert torch.equal(weight.grad, noise(3, 3)), "rounding hands gradients on"


def test_numbers_beyond_the_range_are_clipped_and_get_no_gradient() -> None:
    x = torch.tensor([-9.0, -2.9, 0.0, 0.3, 60.7, 70.0], requires_grad=True)
    found = rounded(x, Scale(0.25, zero=-116))
    assert found.tolist() == [-3.0, -3.0, 0.0, 0.25, 60.75, 60.75]
    (found * torch.arange(1.0, 7.0)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 2.0, 3.0, 4.0, 5.0, 0.0]


def nearest(x: Tensor, step: Tensor | float, low: float, high: float) -> Tensor:
    """The nearest multiple of `step`, `low` to `high` of them, with the gradient of a clamp."""
    inside = x.clamp(step * low, step * high)
    return inside + (torch.round(inside / step) * step - inside).detach()


def summed(bias: Tensor, step: Tensor) -> Tensor:
    """The nearest multiple of what a sum's step is worth."""
    return bias + (torch.round(bias / step) * step - bias).detach()


def test_a_small_net_is_what_its_formulas_say_gradients_too() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
    net = attach_exits(nn.Sequential(conv, norm, nn.ReLU()), [-1], 3, image_shape=(2, 8, 8))
    x = noise(6, 2, 8, 8)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
    settled(net, x)
    (linear,) = (m for m in net.modules() if isinstance(m, nn.Linear))

    aware = as_int8(net, x)
    (logits,) = aware(x)
    targets = torch.tensor([0, 1, 2, 0, 1, 2])
    parameters = [conv.weight, norm.weight, norm.bias, linear.weight, linear.bias]
    found = torch.autograd.grad(F.cross_entropy(logits, targets), parameters)

    assert norm.running_var is not None
    assert norm.running_mean is not None
    spread = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * spread
    folded = conv.weight * spread.view(-1, 1, 1, 1)
    step = folded.detach().flatten(1).abs().amax(1).view(-1, 1, 1, 1) / 127
    image, maps, means, scores = aware.scales.values()

    def to_scale(y: Tensor, scale: Scale) -> Tensor:
        low, high = scale.limits
        return nearest(y, scale.scale, low - scale.zero, high - scale.zero)

    weight, bias = nearest(folded, step, -127, 127), summed(shift, step.flatten() * image.scale)
    y = F.conv2d(to_scale(x, image), weight, bias, padding=1)
    y = to_scale(to_scale(y.relu(), maps).mean((2, 3)), means)
    row_step = linear.weight.detach().abs().amax(1, keepdim=True) / 127
    weight = nearest(linear.weight, row_step, -127, 127)
    bias = summed(linear.bias, row_step.flatten() * means.scale)
    y = to_scale(F.linear(y, weight, bias), scores)
    torch.testing.assert_close(logits, y)
    wanted = torch.autograd.grad(F.cross_entropy(y, targets), parameters)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", NETS)
def test_every_operator_gives_its_integers(name: str) -> None:
    """From the same integers, almost all numbers are the same and the others next to them."""
    x = noise(4, 3, 32, 32)
    net = settled(small(name), x)
    aware, quantized = as_int8(net, x), in_integers(net, x).quantized
    assert aware.scales == quantized.scales
    kept = {stage.logits for stage in quantized.graph.stages}
    with torch.no_grad():
        alive = {quantized.graph.image: quantized.scales[quantized.graph.image].quantized(x).int()}
        for node in quantized.graph.nodes:
            taken = [alive[source] for source in node.inputs]
            alive[node.output] = quantized.operators[node.output].run(taken)
            scales = [quantized.scales[source] for source in node.inputs]
            real = [scale.real(part) for scale, part in zip(scales, taken, strict=True)]
            scale = quantized.scales[node.output]
            mine = scale.quantized(aware.run_node(node, real))
            apart = (mine - alive[node.output]).abs()
            assert apart.max() <= (2 if node.output in kept else 1), node.output
            assert (apart > 0).float().mean() < (0.5 if node.output in kept else 0.05), node.output


@pytest.mark.parametrize("name", ["rex_mobilenetv2_035", "densenetbc100_cifar"])
def test_it_is_nearer_to_the_integers_than_the_net_is(name: str) -> None:
    x = noise(48, 3, 32, 32) + 2 * noise(48, 3, 1, 1, seed=1)
    net = settled(small(name), x)
    with torch.no_grad():
        exits = list(zip(as_int8(net, x)(x), net(x), in_integers(net, x)(x), strict=True))
    for mine, plain, integer in exits[:3]:  # random weights amplify what is left further on
        assert (mine - integer).std() < 0.8 * (plain - integer).std()
        assert (mine - integer).std() < 0.15 * integer.std()
        assert (mine.argmax(1) == integer.argmax(1)).float().mean() >= 0.9


def uneven(x: Tensor, targets: Tensor) -> MultiExitNet:
    """A net that knows its targets, and whose maps have channels 200 times as large as others, of
    which int8 sees little.
    """
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
    net = attach_exits(nn.Sequential(first, nn.ReLU(), second, nn.ReLU()), [-1], 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(net(x)[0], targets).backward()
        optimizer.step()
    with torch.no_grad():
        size = torch.where(torch.arange(16) % 4 == 0, 4.0, 0.02)
        first.weight *= size.view(-1, 1, 1, 1)
        first.bias *= size  # type: ignore[operator]
        second.weight /= size.view(-1, 1, 1)
    return net.eval()


def test_training_closes_the_gap_between_float32_and_int8() -> None:
    x, targets = noise(96, 3, 16, 16), torch.arange(96) % 4
    net = uneven(x, targets)

    def losses() -> tuple[float, float]:
        with torch.no_grad():
            made = net(x)[0], in_integers(net, x)(x)[0]
        return tuple(float(F.cross_entropy(logits, targets)) for logits in made)  # type: ignore[return-value]

    plain_before, int8_before = losses()
    aware = as_int8(net, x)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for step in range(60):
        if step % 20 == 0:
            aware.cover(aware.ranges([x]))
        optimizer.zero_grad()
        F.cross_entropy(aware(x)[0], targets).backward()
        optimizer.step()
    plain, int8 = losses()
    assert int8_before - plain_before > 0.4
    assert abs(int8 - plain) < 0.3 * (int8_before - plain_before)
    assert int8 < 0.3 * int8_before


def test_images_of_another_size_take_the_same_scales() -> None:
    x = noise(48, 3, 32, 32) + 2 * noise(48, 3, 1, 1, seed=1)
    net = settled(small("rex_mobilenetv2_035"), x)
    aware, larger = as_int8(net, x), F.interpolate(x, (48, 40))
    with torch.no_grad():
        for mine, plain in list(zip(aware(larger), net(larger), strict=True))[:3]:
            assert (mine - plain).std() < 0.4 * plain.std()


def test_what_has_no_integer_form_is_refused() -> None:
    renet = ReNet2d(3, 4, cell="lstm")
    net = attach_exits(nn.Sequential(renet), [-1], 3, image_shape=(3, 16, 16))
    aware = QuantizationAware(net, (16, 16))
    with pytest.raises(ExeuntError, match=r"ReNet with lstm has no integer form; gru has"):
        aware.cover(aware.ranges([noise(2, 3, 16, 16)]))
