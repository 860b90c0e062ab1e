"""Networks made faster say what they said."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.compiled import CompileError, compile_stages, use_channels_last
from exeunt.evaluate import weights_fingerprint
from exeunt.inference import infer
from exeunt.models import create_model
from exeunt.native import in_use, native
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.native_rex import run_native
from exeunt.ops.rex import ReX2d
from exeunt.policies import Confidence, Full


def layouts(net: nn.Module) -> set[bool]:
    """Of the convolutions larger than a pixel, whether they are channels last."""
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d)]
    large = [weight for weight in weights if weight.shape[1] > 1 and weight.shape[2] > 1]
    return {weight.is_contiguous(memory_format=torch.channels_last) for weight in large}


def test_depthwise_networks_are_laid_out_and_others_are_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 3, 32, 32)
    for name, laid_out in (("mobilenetv2_035", True), ("resnet_cifar", False)):
        net = create_model(name, 4).eval()
        before, fingerprint = net(x), weights_fingerprint(net)
        assert layouts(net) == {False}
        assert use_channels_last(net) is net
        assert layouts(net) == {laid_out}
        assert weights_fingerprint(net) == fingerprint
        for logits, same in zip(net(x), before, strict=True):
            assert torch.allclose(logits, same, atol=1e-5)


@pytest.mark.slow
def test_compiled_stages_stop_where_the_others_do() -> None:
    torch.manual_seed(0)
    blocks = [ConvNormAct(3, 8, 3, 2), ConvNormAct(8, 8, 3, groups=8), ConvNormAct(8, 12)]
    net = attach_exits(nn.Sequential(*blocks), [0, 1], 4, image_shape=(3, 32, 32)).eval()
    compiled = compile_stages(net, torch.randn(1, 3, 32, 32))
    assert not {*compiled.modules()} & {*net.modules()}
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        middle = net(images)[0].softmax(1).amax(1).median()
    for policy in (Full(), Confidence(float(middle))):
        for image in images.split(1):
            found, expected = infer(compiled, image, policy), infer(net, image, policy)
            assert found.rows == expected.rows
            assert torch.allclose(found.logits, expected.logits, atol=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(native() is None, reason=f"kernels: {in_use()}")
def test_rex_keeps_its_kernels() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(ConvNormAct(3, 8, 3), ReX2d(8, 4, 2, 4, 2))
    net = attach_exits(backbone, [-1], 4, image_shape=(3, 24, 24)).eval()
    images = torch.randn(1, 3, 24, 24)
    compiled = compile_stages(net, images)
    with torch.inference_mode(), patch("exeunt.ops.rex.run_native", wraps=run_native) as kernels:
        ((expected,), (logits,)) = net(images), compiled(images)
    assert kernels.call_count == 2
    assert torch.allclose(logits, expected, atol=1e-5)


def test_a_machine_that_cannot_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(nn.Module):
        def forward(self, *state: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("none\nand more")

    def broken(stage: nn.Module, **settings: object) -> nn.Module:
        return Broken()

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(CompileError, match=r"torch\.compile failed: none$"):
        compile_stages(create_model("mobilenetv2_035", 4).eval(), torch.zeros(1, 3, 32, 32))
