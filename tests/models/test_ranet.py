from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet

TINY: dict[str, Any] = {
    "scales": (1, 2, 3),
    "factors": (4, 2, 1),
    "width": 4,
    "growth": 4,
    "step": 2,
    "stem": "cifar",
    "exit_width": 8,
}

# one dense block, then one that fuses, halves and ends in a transition, and another dense one
MINIMAL = {**TINY, "scales": (1, 2), "factors": (2, 1), "blocks": 1, "block_step": 1, "step": 1}


def parts(net: MultiExitNet) -> dict[str, Any]:
    """Base features' layers and blocks, by name."""
    return {name: part for stage in net.stages for name, part in stage.trunk.named_children()}


def plain_forward(
    net: MultiExitNet, x: Tensor, scales: Sequence[int], counts: Sequence[int], halved: Any
) -> list[Tensor]:
    """The paper's forward, written out: every x_j a map of its own, everything computed."""

    def like(x: Tensor, other: Tensor) -> Tensor:
        return F.interpolate(x, size=other.shape[2:], mode="bilinear", align_corners=True)

    part = parts(net)
    bases = {}
    for i in reversed(range(len(scales))):
        bases[i] = x = part[f"base{i}"](x)
    features = []
    lows: list[list[Tensor]] = []
    for i, scale in enumerate(scales):
        x, kept = bases[i], []
        ends = [math.floor((q + 1) * counts[i] / scale) for q in range(scale - 1)]
        for b in range(1, counts[i] + 1):
            block = part[f"sub{i}_block{b - 1}"]
            xs = [x]
            if i and b <= counts[i - 1]:
                assert len(lows[b - 1]) == len(block.layers) + 1
                for low, layer in zip(lows[b - 1], block.layers, strict=False):
                    own = layer.own(xs[-1])
                    xs.append(torch.cat((like(xs[-1], own), like(layer.low(low), own), own), 1))
                size = xs[-2].shape[2]
                assert own.shape[2] == (-(-size // 2) if (i, b) in halved else size)
                x = torch.cat((xs[-1], like(block.merge(lows[b - 1][-1]), xs[-1])), 1)
            else:
                for layer in block.layers:
                    xs.append(torch.cat((xs[-1], layer(xs[-1])), 1))
                x = xs[-1]
            kept.append(xs)
            x = block.transition(x) if b in ends else x
            assert (block.transition is None) == (b not in ends)
            if not i or b > counts[i - 1]:
                features.append(x)
        lows = kept
    return [stage.exit(feature) for stage, feature in zip(net.stages, features, strict=True)]


PLAIN = [
    ({}, (32, 32), [2, 4, 6], {(1, 2), (2, 2), (2, 4)}),
    ({"mode": "lg", "step": 1}, (37, 50), [2, 4, 6], {(1, 2), (2, 2), (2, 4)}),
    ({"scales": (1, 2), "factors": (2, 1), "step": 3}, (33, 32), [2, 4], {(1, 2)}),
    (
        {"scales": (1, 2, 2, 3), "factors": (4, 2, 2, 1), "bottlenecks": (3, 1, 2, 4)},
        (35, 32),
        [2, 4, 6, 8],
        {(1, 2), (2, 4), (3, 4), (3, 6)},
    ),
    ({"scales": (1, 2, 3, 4), "factors": (4, 2, 2, 1)}, (32, 45), [2, 4, 6, 8], None),
    ({"scales": (2, 3, 4), "stem": "imagenet"}, (64, 75), [2, 4, 6], {(1, 2), (2, 2), (2, 4)}),
    ({"scales": (2, 2, 4), "blocks": 1, "block_step": 3}, (32, 32), [1, 4, 7], {(2, 4)}),
    ({"reduction": 0.7, "compress": 0.4, "exit_head": "pooled"}, (32, 32), [2, 4, 6], None),
]


@pytest.mark.parametrize(("kwargs", "image_size", "counts", "halved"), PLAIN)
@torch.no_grad()
def test_the_plain_forward(
    kwargs: dict[str, Any], image_size: tuple[int, int], counts: list[int], halved: Any
) -> None:
    torch.manual_seed(0)
    arguments = {**TINY, **kwargs}
    net = create_model("ranet", 5, **arguments).eval()
    x = torch.randn(2, 3, *image_size)
    scales = arguments["scales"]
    if halved is None:  # the published rule
        fused = [(i, b) for i, s in enumerate(scales) for b in ([0, *counts][: i + 1])[1 - s :]]
        halved = [(i, b) for i, b in fused if i]
    expected = plain_forward(net, x, scales, counts, halved)
    assert len(expected) == net.num_exits == counts[0] + (counts[1] - counts[0]) * (len(counts) - 1)
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_what_the_state_holds() -> None:
    """Between stages: base features to come, features to fuse with, the running one last."""
    net = create_model("ranet_cifar100", 10).eval()
    bases = [(16, 32), (16, 32), (32, 16)]  # of the last three sub-networks
    # Dense blocks go on under the name of the base feature, the first to 64 + 2 * 4 * 24.
    # A fusion block that halves leaves x_3 (100 + 3 * 12), x_4 and, behind it, its transition.
    second = [*bases[:2], (136, 16), (148, 8)]
    third = [bases[0], (68, 32), (74, 16), (105, 16), (111, 8)]
    expected = [
        [*bases, (160, 8)],
        [*bases, (256, 8)],
        [*second, (140, 8)],
        [*second, (188, 8)],
        [*third, (93, 8)],
        [*third, (117, 8)],
        [(180, 8)],
        [(204, 8)],
    ]
    state = net.begin(torch.zeros(1, 3, 32, 32))
    for k, wanted in enumerate(expected):
        _, state = net.step(k, state)
        assert [(part.shape[1], part.shape[3]) for part in state] == wanted, f"stage {k}"
        assert net.stages[k].trunk.extra_repr().endswith(", ".join(net.stages[k].trunk.leaves))
    names = [stage.trunk.leaves for stage in net.stages]
    assert names[1] == ("base3", "base2", "base1", "base0")
    assert names[3] == (*names[1][:3], "sub1_block1.down", "sub1_block1.transition")
    assert [stage.trunk.takes for stage in net.stages] == [("image",), *names[:-1]]


@torch.no_grad()
def test_what_a_stage_passes_on_is_not_copied() -> None:
    net = create_model("ranet", 5, **TINY).eval()
    state = net.begin(torch.randn(1, 3, 32, 32))
    for k in range(4):
        before = state
        _, state = net.step(k, state)
        assert (state[0] is before[0]) == (k > 0)  # the last base feature


@torch.no_grad()
def test_features_are_forgotten_after_their_last_reader() -> None:
    net = create_model("ranet", 5, **TINY, exits="last").eval()
    part = parts(net)
    alive: dict[str, list[str]] = {}
    made: dict[str, weakref.ref[Tensor]] = {}

    def watch(name: str) -> None:
        def keep(module: nn.Module, inputs: Any, out: Any) -> None:
            made[name] = weakref.ref(out[-1] if isinstance(out, tuple) else out)

        def look(module: nn.Module, inputs: Any) -> None:
            alive[name] = [other for other, ref in made.items() if ref() is not None]

        part[name].register_forward_pre_hook(look)
        part[name].register_forward_hook(keep)

    for name in part:
        watch(name)
    net(torch.randn(1, 3, 32, 32))
    assert alive["base0"] == ["base2", "base1"]
    # base0's tensor has grown by sub0_block1's time; the two blocks are one tensor
    assert alive["sub1_block0"] == ["base2", "base1", "sub0_block1"]
    assert alive["sub1_block1"] == ["base2", "sub0_block1", "sub1_block0"]
    assert alive["sub1_block2"] == ["base2", "sub1_block1"]
    assert alive["sub2_block5"] == ["sub2_block4"]


@torch.no_grad()
def test_a_sub_network_begins_in_the_stage_that_needs_it() -> None:
    net = create_model("ranet_cifar_batch1", 10).eval()
    ran: list[str] = []
    for stage in net.stages:
        for name, module in stage.named_modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *_, name=name: ran.append(name.split(".")[1]))
    state = net.begin(torch.zeros(1, 3, 32, 32))
    expected = [
        {"base2", "base1", "base0", "sub0_block0"},
        {"sub0_block1"},
        {"sub1_block0", "sub1_block1", "sub1_block2"},
        {"sub1_block3"},
        {f"sub2_block{b}" for b in range(5)},
        {"sub2_block5"},
    ]
    for k, wanted in enumerate(expected):
        ran.clear()
        _, state = net.step(k, state)
        assert {*ran} - {"convs", "0", "1"} == wanted, f"stage {k}"


@pytest.mark.parametrize(
    ("exits", "kept"),
    [("paper", range(6)), ("all", range(6)), ("last", [5]), ([1, 2], [1, 2, 5]), ([5, 0], [0, 5])],
)
@torch.no_grad()
def test_exits(exits: str | list[int], kept: Sequence[int]) -> None:
    """Where stages merge, the exits that stay say the same."""
    whole = create_model("ranet", 5, **TINY).eval()
    net = create_model("ranet", 5, **TINY, exits=exits).eval()
    trunks = parts(whole)
    assert parts(net).keys() == trunks.keys()
    for name, part in parts(net).items():
        part.load_state_dict(trunks[name].state_dict())
    for stage, k in zip(net.stages, kept, strict=True):
        stage.exit.load_state_dict(whole.stages[k].exit.state_dict())
    x = torch.randn(2, 3, 32, 32)
    logits = whole(x)
    torch.testing.assert_close(net(x), [logits[k] for k in kept])


@pytest.mark.parametrize(
    ("image_size", "kwargs"),
    [
        ((32, 32), {}),
        ((33, 47), {"mode": "lg", "step": 1, "in_chans": 1}),
        ((32, 33), {"scales": (1, 2, 2, 3), "factors": (4, 2, 2, 1), "stem": "imagenet"}),
        ((40, 32), {"exit_head": ["rex", "mixed", "pooled", "conv"], "exits": [0, 2, 3]}),
        ((32, 32), {"scales": (1,), "factors": (1,), "blocks": 3, "exit_width": None}),
    ],
)
def test_the_contract(image_size: tuple[int, int], kwargs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    check_model(create_model("ranet", 5, **{**TINY, **kwargs}), image_size)


def test_heads() -> None:
    net = create_model("ranet", 5, **TINY, exit_head="pooled", dropout=0.3)
    assert [type(stage.exit).__name__ for stage in net.stages] == ["PooledExit"] * 5 + ["ConvExit"]
    assert [stage.exit.dropout.p for stage in net.stages] == [0.0] * 5 + [0.3]
    assert net.stages[5].exit.convs[1].conv.out_channels == 8
    wide = create_model("ranet", 5, **{**TINY, "exit_width": None}).stages[4].exit
    assert wide.convs[1].conv.out_channels == wide.convs[0].conv.in_channels


@torch.no_grad()
def test_stages_are_exported() -> None:
    """With any number of rows."""
    net = create_model("ranet", 5, **MINIMAL).eval()
    rows = torch.export.Dim("rows", min=1, max=64)
    state = net.begin(torch.randn(2, 3, 32, 33))
    for k, stage in enumerate(net.stages):
        shapes = {"state": tuple({0: rows} for _ in state)}
        program = torch.export.export(stage, state, dynamic_shapes=shapes).module()
        one = tuple(part[:1] for part in state)
        logits, state = net.step(k, state)
        torch.testing.assert_close(program(*one)[0], logits[:1])
        assert len(program(*one)) == 1 + len(state)


@torch.no_grad()
def test_compiled_and_in_half_precision() -> None:
    net = create_model("ranet", 5, **MINIMAL).eval()
    x = torch.randn(2, 3, 32, 32)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))
    with torch.autocast("cpu", torch.bfloat16):
        half = net(x)
    for out, wanted in zip(half, net(x), strict=True):
        assert out.dtype == torch.bfloat16
        gap = 0.1 * wanted.abs().max().item()
        torch.testing.assert_close(out.float(), wanted, rtol=0.1, atol=gap)


def test_state_dict_names_are_stable() -> None:
    names = create_model("ranet_cifar_batch1", 10).state_dict().keys()
    assert {
        "stages.0.trunk.base2.conv.weight",
        "stages.0.trunk.base0.norm.running_mean",
        "stages.0.trunk.sub0_block0.layers.1.reduce.conv.weight",
        "stages.2.trunk.sub1_block1.layers.3.low.conv.norm.weight",
        "stages.2.trunk.sub1_block1.layers.3.own.conv.conv.weight",
        "stages.2.trunk.sub1_block1.merge.conv.weight",
        "stages.2.trunk.sub1_block1.transition.conv.weight",
        "stages.5.exit.convs.1.conv.weight",
        "stages.5.exit.classifier.bias",
    } <= set(names)
    large = create_model("ranet", 5, **{**TINY, "stem": "imagenet"}).state_dict().keys()
    assert "stages.0.trunk.base2.stem.conv.bias" in large


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"scales": (1, 3, 2)}, r"scales=\(1, 3, 2\); give them from the lowest resolution"),
        ({"scales": (0, 1, 2)}, r"scales=\(0, 1, 2\); give whole numbers of at least 1"),
        ({"scales": ()}, r"scales=\(\); give whole numbers"),
        ({"scales": (1, 2)}, r"factors=\(4, 2, 1\); give one for each of the 2 sub-networks"),
        ({"factors": (4, 2, 0)}, r"factors=\(4, 2, 0\); give whole numbers"),
        ({"bottlenecks": (4, 2)}, r"bottlenecks=\(4, 2\); give one for each of the 3"),
        ({"width": 0}, "width=0; give a whole number"),
        ({"block_step": 0}, "block_step=0; give a whole number"),
        ({"exit_width": 0}, "exit_width=0; give a whole number"),
        ({"mode": "odd"}, "mode='odd'; one of 'even', 'lg'"),
        ({"reduction": 0.0}, "reduction=0.0; give a share above 0, at most 1"),
        ({"compress": 1.0}, "compress=1.0; give a share between 0 and 1"),
        ({"growth": 2}, "a share of 0.25 leaves none of 2 channels"),
        ({"stem": "mnist"}, "stem='mnist'; one of 'imagenet', 'cifar'"),
        ({"exits": [6]}, "positions 0 to 5"),
        ({"exit_head": "max"}, "'max'"),
    ],
)
def test_wrong_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model("ranet", 5, **{**TINY, **kwargs})
