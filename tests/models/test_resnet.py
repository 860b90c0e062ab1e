from __future__ import annotations

import pytest
import torch

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet

TINY = {"layers": (1, 2, 3, 1), "widths": (8, 8, 16, 24)}
STEM_MACS = 112 * 112 * 64 * 147


def parameters(net: MultiExitNet) -> int:
    return sum(p.numel() for p in net.parameters())


def trunk_macs(net: MultiExitNet) -> list[float]:
    """Cumulative millions of MACs in trunks alone, at 224 px."""
    infos = net.exit_info(224)
    heads = [net.num_classes * info.channels for info in infos]
    return [(info.macs - sum(heads[: k + 1])) / 1e6 for k, info in enumerate(infos)]


def ends(net: MultiExitNet) -> list[str]:
    return [list(dict(stage.trunk.named_children()))[-1] for stage in net.stages]


@pytest.mark.parametrize(
    ("name", "kwargs", "expected"),
    [
        ("resnet34", {}, 21_797_672),  # the standard one
        # without three blocks of 73,984; ReX has 17,504 of its own (hand count), and the
        # projection from 64 to 128 channels stays
        ("rex_resnet34", {"rex_form": "paper"}, 21_797_672 - 3 * 73_984 + 11_360),
    ],
)
def test_parameters(name: str, kwargs: dict[str, object], expected: int) -> None:
    assert parameters(create_model(name, exits="last", **kwargs)) == expected


def test_parameters_of_the_deep_variant() -> None:
    """20.51 M as counted independently, 20 M in the paper's Table 2."""
    net = create_model("rex_resnet34", exits="last", deep=True, rex_form="paper")
    assert parameters(net) == pytest.approx(20.51e6, abs=0.005e6)


def test_macs_at_the_exits() -> None:
    """Counted independently for the published network; 3.664 G in all, the classifier included."""
    net = create_model("resnet34", 10)
    expected = [1222.7, 1685.1, 2096.2, 2558.6, 3021.0, 3432.0, 3663.8 - 0.512]
    assert trunk_macs(net) == pytest.approx(expected, abs=0.06)


def test_rex_macs_at_the_exits() -> None:
    """The tail alone as counted independently, plus the stem and the ReX layer."""
    net = create_model("rex_resnet34", 10, rex_form="paper")
    rex = net.stages[0].trunk.rex.macs(112, 112).shared
    tail = [411.0, 873.5, 1284.5, 1746.9, 2209.3, 2620.4, 2852.1 - 0.512]
    expected = [(STEM_MACS + rex) / 1e6 + part for part in tail]
    assert trunk_macs(net) == pytest.approx(expected, abs=0.06)


def test_deep_macs() -> None:
    """Stem, ReX, then conv4, conv5 and the classifier with 1.979 G."""
    net = create_model("rex_resnet34", 10, deep=True, rex_form="paper")
    rex = net.stages[0].trunk.rex.macs(112, 112).shared
    expected = (STEM_MACS + rex) / 1e6 + 1979 - 0.512
    assert trunk_macs(net)[-1] == pytest.approx(expected, abs=0.5)


def test_exits_of_the_three_variants() -> None:
    shared = ["group2_block1", "group2_block3", "group2_block5", "group3_block1", "group3_block2"]
    plain = create_model("resnet34", 10)
    assert ends(plain) == ["group1_block1", "group1_block3", *shared]
    assert ends(create_model("rex_resnet34", 10)) == ends(plain)
    assert ends(create_model("rex_resnet34", 10, deep=True)) == shared


@torch.no_grad()
def test_rex_layers() -> None:
    for deep, sizes, shape in (
        (False, ((6, 6), (4, 4), 16, 8), (1, 64, 28, 28)),
        (True, ((8, 8), (4, 4), 32, 16), (1, 128, 28, 28)),
    ):
        net = create_model("rex_resnet34", 10, deep=deep, rex_form="paper").eval()
        trunk = net.stages[0].trunk
        rex = trunk.rex
        assert (rex.patch_size, rex.stride, rex.hidden1, rex.hidden2) == sizes
        summary = trunk[:2](torch.randn(1, 3, 224, 224))
        assert summary.shape == shape
        size = trunk[2](summary).shape[1:]
        assert size == ((256, 14, 14) if deep else (128, 28, 28))


@pytest.mark.parametrize(
    ("name", "kwargs", "count"),
    [
        ("resnet34", {"exits": "all"}, 8),
        ("resnet34", {"exits": "last"}, 1),
        ("resnet34", {"exits": [0, 15]}, 2),
        ("rex_resnet34", {"exits": "all"}, 8),
        ("rex_resnet34", {"exits": [0]}, 2),
        ("rex_resnet34", {"exits": "all", "deep": True}, 6),
    ],
)
def test_exits(name: str, kwargs: dict[str, object], count: int) -> None:
    assert create_model(name, 10, **kwargs).num_exits == count


@pytest.mark.parametrize(
    ("name", "image_size", "kwargs"),
    [
        ("resnet34", (32, 32), {}),
        ("resnet34", (33, 47), {"in_chans": 1, "exits": "all", "exit_head": "mixed"}),
        ("resnet34", (16, 16), {"stem": "cifar"}),
        ("rex_resnet34", (32, 32), {}),
        ("rex_resnet34", (33, 47), {"exits": "all", "exit_head": "rex"}),
        ("rex_resnet34", (48, 32), {"deep": True}),
        ("rex_resnet34", (32, 32), {"stem": "cifar"}),
    ],
)
def test_the_contract(name: str, image_size: tuple[int, int], kwargs: dict[str, object]) -> None:
    torch.manual_seed(0)
    check_model(create_model(name, 5, **TINY, **kwargs), image_size)


def test_the_stems() -> None:
    small = create_model("resnet34", 10, stem="cifar").stages[0].trunk
    assert [name for name, _ in small.named_children()][:2] == ["stem", "group0_block0"]
    assert (small.stem.conv.kernel_size, small.stem.conv.stride) == ((3, 3), (1, 1))
    large = create_model("resnet34", 10, **TINY).stages[0].trunk
    assert large[:2](torch.randn(1, 3, 224, 224)).shape == (1, 8, 56, 56)


def test_state_dict_names_are_stable() -> None:
    names = create_model("resnet34").state_dict().keys()
    assert {
        "stages.0.trunk.stem.conv.weight",
        "stages.0.trunk.group0_block0.conv1.norm.weight",
        "stages.0.trunk.group1_block0.shortcut.conv.weight",
        "stages.1.trunk.group1_block3.conv2.norm.running_mean",
        "stages.6.trunk.group3_block2.conv2.conv.weight",
        "stages.6.exit.classifier.bias",
    } <= set(names)
    # 36 convolutions with batch norm (33 in blocks and stem, 3 in shortcuts), 7 classifiers
    assert len(names) == 36 * 6 + 7 * 2


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"stem": "mnist"}, "stem='mnist'; one of 'imagenet', 'cifar'"),
        ({"layers": (1, 2)}, r"layers=\(1, 2\), widths=\(64, 128, 256, 512\)"),
        ({"layers": (1,), "widths": (8,)}, "at least 2 groups"),
        ({"layers": (1, 0), "widths": (8, 8)}, r"layers=\(1, 0\); give whole numbers"),
        ({"layers": (1, 2), "widths": (8, 0.5)}, r"widths=\(8, 0.5\)"),
        ({"exits": [14]}, "no block 14; positions 0 to 13"),
        ({"exit_head": "max"}, "'max'"),
    ],
)
def test_wrong_arguments(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model("rex_resnet34", 10, **kwargs)
