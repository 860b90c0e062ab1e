from __future__ import annotations

import pytest
import torch

from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import create_model
from exeunt.net import MultiExitNet

TINY = {"layers": (1, 2, 3, 2), "growth": 4, "width": 8}
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


def test_parameters() -> None:
    assert parameters(create_model("densenet121", exits="last")) == 7_978_856, "the standard one"
    rex = parameters(create_model("rex_densenet121", exits="last", rex_form="paper"))
    assert rex == pytest.approx(6.59e6, abs=0.005e6), "as counted independently"


@pytest.mark.parametrize(
    ("name", "expected"),
    # Huang et al., Table 2: 0.8 and 25.6 M
    [("densenetbc100_cifar", 769_162), ("densenetbc190_cifar", 25_624_430)],
)
def test_parameters_of_the_cifar_form(name: str, expected: int) -> None:
    assert parameters(create_model(name, 10, exits=[])) == expected


def test_macs_at_the_exits() -> None:
    """Counted independently for the published network; 2.834 G in all, the classifier included."""
    net = create_model("densenet121", 10)
    macs = trunk_macs(net)
    assert macs[0] == pytest.approx(2105.0, abs=0.06)
    assert macs[-2] == pytest.approx(2833.1, abs=0.06)
    assert macs[-1] == macs[-2], "the last exit adds a batch norm and a ReLU"
    assert macs[-1] + 1.024 == pytest.approx(2834.2, abs=0.06)


def test_rex_macs_at_the_exits() -> None:
    """The tail alone as counted independently, plus the stem and the ReX layer."""
    net = create_model("rex_densenet121", 10, rex_form="paper")
    rex = net.stages[0].trunk.rex.macs(112, 112).shared
    macs = [part - (STEM_MACS + rex) / 1e6 for part in trunk_macs(net)]
    assert [macs[0], macs[11], macs[19]] == pytest.approx([40.9, 562.0, 769.1], abs=0.06)


def test_exits_and_their_channels() -> None:
    plain, rex = create_model("densenet121", 10), create_model("rex_densenet121", 10)
    third = [f"dense2_layer{i}" for i in range(1, 24, 2)]
    fourth = [f"dense3_layer{i}" for i in range(1, 16, 2)]
    assert ends(plain) == [*third, *fourth, "norm"]
    assert ends(rex) == ends(plain)
    channels = [*range(320, 1025, 64), *range(576, 1025, 64), 1024]
    for net in (plain, rex):
        assert [stage.exit.classifier.in_features for stage in net.stages] == channels


@torch.no_grad()
def test_the_rex_layer_and_the_transition_behind_it() -> None:
    trunk = create_model("rex_densenet121", 10, rex_form="paper").eval().stages[0].trunk
    rex = trunk.rex
    assert (rex.patch_size, rex.stride, rex.hidden1, rex.hidden2) == ((6, 6), (4, 4), 16, 8)
    assert [name for name, _ in trunk.named_children()][:3] == ["stem", "rex", "transition1"]
    summary = trunk[:2](torch.randn(1, 3, 224, 224))
    assert summary.shape == (1, 64, 28, 28)
    assert trunk.transition1(summary).shape == (1, 256, 14, 14)


@pytest.mark.parametrize(
    ("name", "exits", "count"),
    [
        ("densenet121", "all", 30),
        ("densenet121", "last", 1),
        ("densenet121", [0, 57], 3),
        ("rex_densenet121", "all", 22),
        ("rex_densenet121", [0, 40], 3),
    ],
)
def test_exits(name: str, exits: str | list[int], count: int) -> None:
    assert create_model(name, 10, exits=exits).num_exits == count


def test_exits_of_the_cifar_form() -> None:
    """Six at the shares of shallow-deep networks, each within half a layer of its share."""
    net = create_model("densenetbc100_cifar", 10)
    macs = [info.macs for info in net.exit_info(32)]
    shares = [reached / macs[-1] for reached in macs]
    assert shares == pytest.approx([0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1], abs=0.025)
    assert create_model("densenetbc100_cifar", 10, exits="all").num_exits == 25


def test_the_state_is_the_concatenation() -> None:
    """Each layer's output stays in front of the next ones', and nothing else is kept."""
    net = create_model("densenet121", 10, **TINY, exits=[3, 4]).eval()
    state = net.begin(torch.randn(2, 3, 32, 32))
    with torch.no_grad():
        _, first = net.step(0, state)
        _, second = net.step(1, first)
    assert len(first) == len(second) == 1
    assert second[0].shape[1] == first[0].shape[1] + 4
    assert torch.equal(second[0][:, :-4], first[0])


@pytest.mark.parametrize(
    ("name", "image_size", "kwargs"),
    [
        ("densenet121", (32, 32), TINY),
        ("densenet121", (33, 47), TINY | {"in_chans": 1, "exits": "all", "exit_head": "mixed"}),
        ("densenet121", (16, 16), TINY | {"stem": "cifar"}),
        ("rex_densenet121", (32, 32), TINY),
        ("rex_densenet121", (33, 47), TINY | {"exits": "all", "exit_head": "rex"}),
        ("rex_densenet121", (32, 32), TINY | {"stem": "cifar"}),
        ("densenetbc_cifar", (16, 16), {"depth": 16, "growth": 4}),
        ("densenetbc_cifar", (17, 23), {"depth": 16, "growth": 4, "exits": "all"}),
    ],
)
def test_the_contract(name: str, image_size: tuple[int, int], kwargs: dict[str, object]) -> None:
    torch.manual_seed(0)
    check_model(create_model(name, 5, **kwargs), image_size)


def test_state_dict_names_are_stable() -> None:
    names = create_model("densenet121").state_dict().keys()
    assert {
        "stages.0.trunk.stem.conv.weight",
        "stages.0.trunk.dense0_layer0.reduce.norm.weight",
        "stages.0.trunk.transition1.reduce.conv.weight",
        "stages.0.trunk.dense2_layer1.grow.conv.weight",
        "stages.20.trunk.norm.norm.running_mean",
        "stages.20.exit.classifier.bias",
    } <= set(names)
    # 120 convolutions with a batch norm each, the last batch norm, 21 classifiers
    assert len(names) == 120 * 6 + 5 + 21 * 2


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("densenet121", {"stem": "mnist"}, "stem='mnist'; one of 'imagenet', 'cifar'"),
        ("rex_densenet121", {"layers": (6, 12)}, r"layers=\(6, 12\); give 3 dense blocks or more"),
        ("densenet121", {"layers": (6, 0, 1)}, r"layers=\(6, 0, 1\); give whole numbers"),
        ("densenet121", {"growth": 0}, "growth=0"),
        ("rex_densenet121", {"exits": [41]}, "no block 41; positions 0 to 40"),
        ("densenetbc_cifar", {"depth": 101}, r"depth=101; give 6n \+ 4"),
    ],
)
def test_wrong_arguments(name: str, kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        create_model(name, 10, **kwargs)
