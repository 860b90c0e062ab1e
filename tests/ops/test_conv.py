from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from exeunt.ops.conv import InvertedResidual, make_divisible


@pytest.mark.parametrize(
    ("value", "expected"),
    # by hand from the rule: round to eights, never more than a tenth down
    [(11.2, 16), (16.0, 16), (22.4, 24), (33.6, 32), (5.6, 8), (8.4, 8), (56.0, 56), (48.0, 48)],
)
def test_make_divisible(value: float, expected: int) -> None:
    assert make_divisible(value) == expected


@pytest.mark.parametrize(("stride", "out", "expansion"), [(1, 8, 6), (2, 8, 6), (1, 12, 1)])
def test_inverted_residual_against_functional(stride: int, out: int, expansion: int) -> None:
    torch.manual_seed(0)
    block = InvertedResidual(8, out, stride, expansion).double().eval()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    x = torch.randn(2, 8, 9, 7, dtype=torch.double)

    def norm(y: torch.Tensor, n: torch.nn.BatchNorm2d) -> torch.Tensor:
        scale = n.weight / (n.running_var + n.eps).sqrt()
        shift = n.bias - n.running_mean * scale
        return y * scale[:, None, None] + shift[:, None, None]

    y = x
    if expansion != 1:
        y = norm(F.conv2d(y, block.expand.conv.weight), block.expand.norm).clamp(0, 6)
    weight = block.depthwise.conv.weight
    y = F.conv2d(y, weight, stride=stride, padding=1, groups=len(weight))
    y = norm(y, block.depthwise.norm).clamp(0, 6)
    y = norm(F.conv2d(y, block.project.conv.weight), block.project.norm)
    if stride == 1 and out == 8:
        y = y + x
    torch.testing.assert_close(block(x), y)
