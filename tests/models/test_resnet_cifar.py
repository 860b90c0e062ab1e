from __future__ import annotations

import pytest
import torch

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph
from exeunt.models import create_model


@pytest.mark.parametrize(
    ("name", "kwargs", "expected"),
    [
        # the published networks; He et al. and others print .27, .85 and 1.7 M, 36.5 and 8.9 M
        ("resnet_cifar", {"depth": 20}, 269_722),
        ("resnet56_cifar", {}, 853_018),
        ("resnet110_cifar", {}, 1_727_962),
        ("wideresnet28_10_cifar", {}, 36_479_194),
        ("wideresnet_cifar", {"depth": 40, "widen": 4}, 8_949_210),
        ("wideresnet_cifar", {"depth": 16, "widen": 4}, 2_748_890),
    ],
)
def test_parameters(name: str, kwargs: dict[str, object], expected: int) -> None:
    """At 10 classes."""
    net = create_model(name, 10, exits=[], **kwargs)
    assert sum(p.numel() for p in net.parameters()) == expected


def test_macs_of_resnet_56() -> None:
    """By hand: a stem, 27 blocks of two convolutions (the first of two groups narrower), linear."""
    full = 2 * 9 * 16 * 16 * 1024  # the same for each group: half the size, twice the channels
    blocks = 27 * full - 2 * full // 4
    macs = create_model("resnet56_cifar", 10, exits="last").exit_info(32)[-1].macs
    assert macs == 27 * 16 * 1024 + blocks + 640


def test_mlperf_tinys_resnet_8() -> None:
    """Published with biases in its convolutions: 78,666 numbers, of which batch norm has 4 for each
    of 240 channels, which fold away; here the two shortcuts have batch norm, too.
    """
    net = create_model("resnet8", exits="last")
    assert net.exit_info(32)[-1].macs == 12_501_632
    nodes = build_graph(net, 32).nodes
    assert sum(t.numel() for node in nodes for t in node.constants.values()) == 78_666 - 4 * 240
    assert create_model("resnet8").num_exits == 3


def test_exits_of_resnet_56_are_those_of_shallow_deep_networks() -> None:
    """Published: after blocks 4 and 8, 3 and 7, 2 and 6 of the three groups, from 1."""
    net = create_model("resnet56_cifar", 10)
    ends = [list(dict(stage.trunk.named_children()))[-1] for stage in net.stages]
    places = [(0, 4), (0, 8), (1, 3), (1, 7), (2, 2), (2, 6), (2, 9)]
    assert ends == [f"group{g}_block{b - 1}" for g, b in places]


def test_exits_of_the_wide_network_are_those_of_the_published_code() -> None:
    """Published: after blocks 3 and 5, 2 and 4, 1 and 3 of the three groups, from 1."""
    net = create_model("wideresnet34_4_cifar", 10)
    ends = [list(dict(stage.trunk.named_children()))[-1] for stage in net.stages]
    places = [(0, 3), (0, 5), (1, 2), (1, 4), (2, 1), (2, 3)]
    assert ends == [*(f"group{g}_block{b - 1}" for g, b in places), "norm"]


@pytest.mark.parametrize(
    ("kwargs", "count"),
    [({}, 7), ({"exits": "all"}, 3 * 4 + 1), ({"exits": "last"}, 1), ({"exits": [0, 26]}, 2)],
)
def test_exits(kwargs: dict[str, object], count: int) -> None:
    assert create_model("resnet56_cifar", 10, **kwargs).num_exits == count


@pytest.mark.parametrize(
    ("name", "image_size", "kwargs"),
    [
        ("resnet_cifar", 16, {"depth": 20, "width": 4}),
        ("resnet_cifar", (17, 23), {"depth": 14, "exits": "all", "in_chans": 1}),
        ("wideresnet_cifar", 16, {"depth": 16, "widen": 1}),
        ("wideresnet_cifar", (17, 23), {"depth": 10, "widen": 1, "exit_head": "mixed"}),
    ],
)
def test_the_contract(
    name: str, image_size: int | tuple[int, int], kwargs: dict[str, object]
) -> None:
    torch.manual_seed(0)
    check_model(create_model(name, 5, **kwargs), image_size)


def test_state_dict_names_are_stable() -> None:
    names = (
        create_model("wideresnet_cifar", 10, depth=10, widen=1, exits="last").state_dict().keys()
    )
    assert {
        "stages.0.trunk.stem.weight",
        "stages.0.trunk.group0_block0.pre.norm.weight",
        "stages.0.trunk.group1_block0.shortcut.weight",
        "stages.0.trunk.group2_block0.conv2.conv.weight",
        "stages.0.trunk.norm.norm.running_var",
        "stages.0.exit.classifier.weight",
    } <= set(names)
    assert "stages.0.trunk.group0_block0.shortcut.weight" not in names


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("resnet_cifar", {"depth": 34}, r"depth=34; give 6n \+ 2"),
        ("resnet_cifar", {"depth": 2}, "depth=2"),
        ("resnet_cifar", {"depth": 20.0}, r"depth=20\.0"),
        ("resnet_cifar", {"width": 0}, "width=0"),
        ("wideresnet_cifar", {"depth": 32}, r"depth=32; give 6n \+ 4"),
        ("wideresnet_cifar", {"widen": 0}, "widen=0"),
        ("resnet_cifar", {"exits": [27]}, "no block 27; positions 0 to 26"),
    ],
)
def test_wrong_arguments(name: str, kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model(name, 10, **kwargs)
