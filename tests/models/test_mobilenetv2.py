from __future__ import annotations

import pytest
import torch

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import create_model, list_models
from exeunt.ops.rex import ReX2d
from exeunt.ops.rex_block import REX_FORMS


def parameters(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def trunk_macs(name: str, exits: str = "paper", **kwargs: object) -> list[int]:
    """Cumulative MACs at 224 px in trunks alone."""
    net = create_model(name, 10, exits=exits, **kwargs)
    totals = []
    for info in net.exit_info(224):
        heads = sum(other.channels * 10 for other in net.exit_info(224)[: info.index + 1])
        totals.append(info.macs - heads)
    return totals


def test_the_plain_trunk_is_the_standard_one() -> None:
    """3,504,872 parameters and 300.77 M MACs at 224 px and 1000 classes."""
    net = create_model("mobilenetv2", exits="last")
    assert parameters(net) == 3_504_872
    assert net.exit_info(224)[-1].macs == 300_774_272


def test_macs_at_the_papers_exits() -> None:
    """Cumulative trunk MACs in millions, counted independently for the published network."""
    expected = [131.1, 151.8, 187.2, 240.9, 279.4, 300.77 - 1.28]
    measured = [macs / 1e6 for macs in trunk_macs("mobilenetv2")]
    assert measured == pytest.approx(expected, abs=0.06)


def test_rex_tail_macs() -> None:
    """The tail alone, plus a stem of 10.84 M and the ReX layer's 62.02 M."""
    tail = [35.1, 55.7, 91.1, 144.9, 183.4, 204.71 - 1.28]
    expected = [10.838 + 62.018 + part for part in tail]
    measured = [macs / 1e6 for macs in trunk_macs("rex_mobilenetv2", rex_form="paper")]
    assert measured == pytest.approx(expected, abs=0.1)


def test_table_1_of_the_rex_paper() -> None:
    """Sizes after every part of Table 1, and its six exits."""
    net = create_model("rex_mobilenetv2", rex_form="paper").eval()
    rex = net.stages[0].trunk.rex
    assert isinstance(rex, ReX2d)
    assert (rex.patch_size, rex.stride, rex.hidden1, rex.hidden2) == ((6, 6), (4, 4), 16, 8)
    shapes: dict[str, tuple[int, ...]] = {}
    for stage in net.stages:
        for name, block in stage.trunk.named_children():
            block.register_forward_hook(
                lambda _, __, out, n=name: shapes.update({n: out.shape[1:]})
            )
    with torch.no_grad():
        logits = net(torch.randn(1, 3, 224, 224))
    assert [tuple(out.shape) for out in logits] == [(1, 1000)] * 6
    assert shapes["stem"] == (32, 112, 112)
    assert shapes["rex"] == (64, 28, 28)
    assert shapes["group3_block3"] == (64, 14, 14)
    assert shapes["group4_block2"] == (96, 14, 14)
    assert shapes["group5_block2"] == (160, 7, 7)
    assert shapes["group6_block0"] == (320, 7, 7)
    assert shapes["head"] == (1280, 7, 7)
    taps = [list(dict(stage.trunk.named_children()))[-1] for stage in net.stages]
    assert taps == [
        "group3_block1",
        "group3_block3",
        "group4_block1",
        "group5_block1",
        "group6_block0",
        "head",
    ]


def test_parameters_of_the_rex_trunk() -> None:
    """3.493 M for the trunk with its classifier, as counted independently."""
    net = create_model("rex_mobilenetv2", exits="last", rex_form="paper")
    assert parameters(net) == pytest.approx(3.493e6, rel=2e-4)


def test_a_deeper_first_module() -> None:
    """Two blocks more, 64 channels at 14x14: 10.6 M multiply-adds each by hand."""
    plain, deeper = (create_model("rex_mobilenetv2", rex_form="paper", deeper=n) for n in (0, 2))
    block = 14 * 14 * (64 * 384 * 2 + 384 * 9)
    for before, after in zip(plain.exit_info(224), deeper.exit_info(224), strict=True):
        assert after.macs - before.macs == 2 * block
        assert after.channels == before.channels
    names = [name for name, _ in deeper.stages[0].trunk.named_children()]
    assert names[2:] == [
        "group3_block0",
        "group3_block0_more0",
        "group3_block0_more1",
        "group3_block1",
    ]
    with pytest.raises(ExeuntError, match="deeper=-1; give 0 or more blocks"):
        create_model("rex_mobilenetv2", deeper=-1)


@pytest.mark.parametrize(("width", "hidden2"), [(0.35, 3), (0.5, 4), (0.75, 6), (1.0, 8)])
def test_width_variants(width: float, hidden2: int) -> None:
    tag = f"{round(100 * width):03d}"
    for name in (f"rex_mobilenetv2_{tag}", f"mobilenetv2_{tag}"):
        named, by_width = create_model(name, 10), create_model(name[:-4], 10, width=width)
        assert parameters(named) == parameters(by_width)
    for form in REX_FORMS:
        made = create_model(f"rex_mobilenetv2_{tag}", 10, rex_form=form).stages[0].trunk.rex
        rex = made if isinstance(made, ReX2d) else made.rex
        assert (rex.hidden1, rex.hidden2) == (16, hidden2)


@pytest.mark.parametrize(
    ("name", "exits", "count"),
    [
        ("mobilenetv2", "paper", 6),
        ("mobilenetv2", "all", 9),
        ("mobilenetv2", "last", 1),
        ("mobilenetv2", [0, 16], 3),
        ("rex_mobilenetv2", "paper", 6),
        ("rex_mobilenetv2", "all", 7),
        ("rex_mobilenetv2", "last", 1),
        ("rex_mobilenetv2", [0], 2),
        ("rex_mobilenetv2", (), 1),
    ],
)
def test_exits(name: str, exits: str | list[int], count: int) -> None:
    assert create_model(name + "_035", 3, exits=exits).num_exits == count


@torch.no_grad()
def test_rex_in_any_module() -> None:
    """Figure 5: maps at the exits are the plain net's; ReX layers fit what they replace."""
    plain = [(i.channels, i.reduction) for i in create_model("mobilenetv2", 10).exit_info(224)]
    layers = {  # of module: in and out channels, hidden sizes, patch, stride
        1: (32, 64, 16, 8, 6, 4),
        2: (64, 64, 16, 8, 3, 1),
        3: (64, 96, 24, 12, 3, 1),
        4: (96, 160, 40, 20, 4, 2),
        5: (160, 320, 80, 40, 3, 1),
    }
    for modules in ((), (1,), (2,), (3,), (4,), (5,), (5, 2), (1, 2, 3, 4, 5)):
        net = create_model("mobilenetv2", 10, rex_at=modules)
        assert [(i.channels, i.reduction) for i in net.exit_info(224)] == plain
        for k, stage in enumerate(net.stages):
            found = [block for block in stage.trunk.children() if isinstance(block, ReX2d)]
            assert len(found) == (k + 1 in modules)
            for rex in found:
                assert (
                    rex.in_channels,
                    rex.out_channels,
                    rex.hidden1,
                    rex.hidden2,
                    rex.patch_size[0],
                    rex.stride[0],
                ) == layers[k + 1]
                if k:
                    assert len(stage.trunk) == 1


def test_rex_in_the_first_module_is_rex_mobilenetv2_of_the_paper() -> None:
    names = list(create_model("mobilenetv2", 10, rex_at=[1], width=0.35).state_dict())
    assert names == list(create_model("rex_mobilenetv2_035", 10, rex_form="paper").state_dict())


def test_rex_in_chosen_exits() -> None:
    kinds = ["pooled", "rex", "pooled", "mixed", "conv", "pooled"]
    net = create_model("mobilenetv2_035", 10, exit_head=kinds)
    made = [type(stage.exit).__name__ for stage in net.stages]
    assert made == [
        "PooledExit",
        "ReXExit",
        "PooledExit",
        "MixedPoolExit",
        "ConvExit",
        "PooledExit",
    ]


@pytest.mark.parametrize("name", ["mobilenetv2_035", "rex_mobilenetv2_035"])
@pytest.mark.parametrize(
    ("image_size", "kwargs"),
    [
        ((32, 32), {}),
        ((33, 47), {"in_chans": 1}),
        ((64, 96), {"exits": "all", "exit_head": "mixed"}),
        ((48, 48), {"exit_head": "rex", "exits": [1, 4]}),
    ],
)
def test_the_contract(name: str, image_size: tuple[int, int], kwargs: dict[str, object]) -> None:
    torch.manual_seed(0)
    check_model(create_model(name, 5, **kwargs), image_size)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"exits": "papr"}, "'papr'; did you mean paper"),
        ({"exits": [12]}, "no block 12; positions 0 to 11"),
        ({"exits": [-1]}, "no block -1"),
        ({"exit_head": "max"}, "'max'; one of pooled, mixed, rex"),
        ({"width": 0}, "width=0"),
        ({"exit_head": ["rex"]}, "1 kinds for 6 exits"),
        ({"depth": 3}, "depth"),
    ],
)
def test_wrong_arguments(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model("rex_mobilenetv2", 10, **kwargs)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"rex_at": (0,)}, "rex_at: no module 0; modules 1 to 5"),
        ({"rex_at": (1, 6)}, "no module 6"),
        ({"rex_at": (1,), "downsample": "lift"}, "downsample='lift' and module 1 in rex_at"),
    ],
)
def test_wrong_modules(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model("mobilenetv2", 10, **kwargs)


@pytest.mark.parametrize("modules", [(3,), (1, 2, 4, 5)])
def test_the_contract_with_rex_in_modules(modules: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    check_model(create_model("mobilenetv2_035", 5, rex_at=modules, exits="all"), (33, 64))


def test_state_dict_names_are_stable() -> None:
    """A few names of the golden list; weights on users' disks depend on them."""
    names = create_model("rex_mobilenetv2_035", 10, rex_form="paper").state_dict().keys()
    assert {
        "stages.0.trunk.stem.conv.weight",
        "stages.0.trunk.rex.rnn1.weight_ih_l0",
        "stages.0.trunk.rex.rnn2.weight_hh_l0_reverse",
        "stages.0.trunk.rex.linear.bias",
        "stages.0.trunk.group3_block0.expand.norm.running_var",
        "stages.0.exit.classifier.weight",
        "stages.5.trunk.head.conv.weight",
        "stages.5.exit.classifier.bias",
    } <= set(names)
    assert len(names) == 236


def test_the_registry_lists_them() -> None:
    assert list_models("rex_mobile*") == [
        "rex_mobilenetv2",
        "rex_mobilenetv2_035",
        "rex_mobilenetv2_050",
        "rex_mobilenetv2_075",
        "rex_mobilenetv2_100",
    ]
