from __future__ import annotations

import pytest
import torch
from torch import Tensor

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.models.downsample import KEEPING, WIDENING, make_downsample
from exeunt.net import MultiExitNet
from exeunt.ops.rnnpool import RNNPool2d
from exeunt.training import auxiliary_loss, exit_losses

KINDS = [*WIDENING, *KEEPING]

STEM = 112 * 112 * 32 * 27
HEAD_AND_CLASSIFIER = 49 * 320 * 1280 + 1280 * 1000
OPERATORS = {  # MACs of the operator alone on 112x112x32
    "rex": 62_017_536,
    "renet": 96_337_920,
    "rex_renet": 62_017_536 + 784 * 2 * 2 * 3 * (64 * 32 + 32 * 32),
    "stride": 784 * 64 * 36 * 32,
    "mixed": 0,
    "gated": 784 * 32 * 16,
    "gfgp": 32 * 16 + 16 * 32,
    # filters of 5 C + C C per pixel, two of them: half the map across, then both quarters down;
    # the second lift has a quarter of all that
    "lift": 2 * (112 * 56 + 2 * 56 * 56) * (5 * 32 + 32 * 32) * 5 // 4,
    "average": 0,
    "max": 0,
}


def small(kind: str, **options: object) -> MultiExitNet:
    torch.manual_seed(0)
    return create_model("mobilenetv2", 3, width=0.35, downsample=kind, **options)


def inverted_residuals(channels: int) -> int:
    """MACs of groups 3 to 6 behind a 28x28 map, by the formula of an inverted residual."""
    total, side = 0, 28
    for out, count, stride in ((64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)):
        for block in range(count):
            hidden, before = 6 * channels, side
            side //= stride if block == 0 else 1
            total += before**2 * channels * hidden + side**2 * hidden * (9 + out)
            channels = out
    return total


@torch.no_grad()
@pytest.mark.parametrize("kind", OPERATORS)
def test_table_3_at_224_px(kind: str) -> None:
    """32 or 64 channels of 28x28, and what the whole network costs."""
    net = create_model("mobilenetv2", downsample=kind, exits="last").eval()
    shapes: list[tuple[int, ...]] = []
    early = net.stages[0].trunk.get_submodule(kind)
    early.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape)))
    macs = net.exit_info(224)[-1].macs
    channels = 64 if kind in WIDENING else 32
    assert shapes == [(1, channels, 28, 28)]
    rest = STEM + inverted_residuals(channels) + HEAD_AND_CLASSIFIER
    assert rest / 1e6 == pytest.approx(198.35 if channels == 32 else 215.55, abs=0.01)
    assert macs == rest + OPERATORS[kind]


def test_rnnpool_is_that_of_its_paper() -> None:
    """Hidden sizes 16, patches of 6 every 4: MobileNetV2 in Table 6 of Saha et al. 2020."""
    block = make_downsample("rnnpool", 32, 64)
    pool = block.module
    assert isinstance(pool, RNNPool2d)
    assert (pool.hidden1, pool.hidden2, pool.patch_size, pool.stride) == (16, 16, (6, 6), (4, 4))
    assert block.channels == pool.out_channels == 64


def test_rex_mobilenetv2_of_the_paper_is_a_downsample() -> None:
    """Parameter for parameter and name for name."""
    torch.manual_seed(0)
    named = create_model("rex_mobilenetv2_035", 3, rex_form="paper").state_dict()
    ours = small("rex").state_dict()
    assert list(named) == list(ours)
    assert all(torch.equal(named[name], ours[name]) for name in named)


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract(kind: str) -> None:
    check_model(small(kind, exits=[1, 4]), (33, 39))


@pytest.mark.parametrize("kind", ["rnnpool", "lift"])
@pytest.mark.parametrize(("exits", "count"), [("paper", 6), ("all", 7), ([0], 2), ("last", 1)])
def test_exits_are_those_of_rex(kind: str, exits: str | list[int], count: int) -> None:
    net = small(kind, exits=exits)
    assert net.num_exits == count
    if exits in ("all", [0]):
        assert [name for name, _ in net.stages[0].trunk.named_children()] == ["stem", kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_step_lowers_the_loss(kind: str) -> None:
    """Of the first exit, with what the operator adds, by about the rate times the square slope."""
    net = small(kind, exits=[2])
    stage, rate = net.stages[0], 0.01
    x, targets = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1, 2])

    def loss() -> Tensor:
        return exit_losses([stage(x)[0]], targets)[0] + auxiliary_loss(net)

    before = loss()
    before.backward()
    slope = sum(p.grad.square().sum().item() for p in stage.parameters() if p.grad is not None)
    torch.optim.SGD(stage.parameters(), lr=rate).step()
    assert before.item() - loss().item() == pytest.approx(rate * slope, rel=0.2)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["renet", "stride", "mixed", "gated", "gfgp", "lift"])
def test_the_first_stage_exports_with_a_dynamic_batch(kind: str) -> None:
    stage = small(kind, exits=[0]).eval().stages[0]
    x = torch.randn(5, 3, 33, 39)
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(stage, (x,), dynamic_shapes={"state": ({0: batch},)})
    for images in (x, x[:2]):
        torch.testing.assert_close(program.module()(images), stage(images))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision(kind: str) -> None:
    """Under autocast a pass trains, and the logits stay near those of full precision."""
    net = small(kind, exits=[0], dropout=0.0)
    x = torch.randn(4, 3, 32, 32)
    plain = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(x)
    loss = torch.stack([out.float().square().sum() for out in half]).sum() + auxiliary_loss(net)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    torch.testing.assert_close(half[0].float(), plain[0], rtol=0, atol=0.02)


def test_unknown_operator() -> None:
    with pytest.raises(ExeuntError, match="downsample='wavelet'; one of rex, rnnpool, renet"):
        create_model("mobilenetv2", 3, downsample="wavelet")
