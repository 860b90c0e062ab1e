"""A ReX stem in place of the early part of any network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.models import WeightsInfo, create_model, load_weights, save_weights
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.exits import make_exit
from exeunt.ops.rex import ReX2d
from exeunt.rex_stem import EarlyPart, early_part, replace_stem, with_early_part


def plain(**kwargs: Any) -> MultiExitNet:
    return create_model("mobilenetv2_035", num_classes=3, **kwargs).eval()


@pytest.mark.parametrize(
    ("at", "exits", "reduction", "stride"),
    [(1, 6, 16, 4), (2, 5, 16, 4), ("group2_block2", 6, 8, 4), ("group1_block1", 6, 4, 2)],
)
def test_the_map_has_the_shape_of_the_early_part(
    at: int | str, exits: int, reduction: int, stride: int
) -> None:
    original = with_early_part(plain(), at)
    net = create_model("mobilenetv2_035", num_classes=3, rex_stem=at)
    assert net.num_exits == original.num_exits == exits
    for size in (64, 96):
        images = torch.randn(2, 3, size, size)
        made, wanted = early_part(net)(images), early_part(original)(images)
        assert made.shape == wanted.shape
        assert wanted.shape[2] == size // reduction
    (rex,) = (module for module in net.modules() if isinstance(module, ReX2d))
    assert rex.stride == (stride, stride)
    check_model(net)


@pytest.mark.parametrize("at", [1, 3, "group0_block0", "group2_block2", "stem"])
def test_an_early_part_in_one_module_computes_the_same(at: int | str) -> None:
    net = plain()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        wanted = net(images)
        got = with_early_part(net, at)(images)
    for a, b in zip(got, wanted[-len(got) :], strict=True):
        assert torch.equal(a, b)


def test_what_comes_after_is_the_very_same() -> None:
    net = plain()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    first = net.stages[0].trunk.stem
    changed = replace_stem(net, "group2_block2", 64)
    after = changed.state_dict()
    behind = {name for name in before if not name.startswith("stages.0.trunk.")} | {
        name for name in before if ".trunk.group3_" in name
    }
    assert behind == {name for name in after if ".rex_stem." not in name}
    for name in behind:
        assert torch.equal(after[name], before[name]), name
    assert early_part(changed).first is first


def test_a_file_of_it_makes_it_again(tmp_path: Path) -> None:
    net = plain()
    net.keep(4)
    net = replace_stem(net, {"at": 2, "expansion": 2, "blocks": 0}, 64)
    assert net.num_exits == 3
    assert net.origin is not None
    name, arguments = net.origin
    info = WeightsInfo(
        name, arguments, "classification", ["a", "b", "c"], {}, "full", {}, {}, [], {}, "", {}
    )
    save_weights(tmp_path / "net.safetensors", net.state_dict(), info)
    again, _ = load_weights(tmp_path / "net.safetensors")
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(again(images), net.eval()(images), strict=True):
            assert torch.equal(a, b)


def test_weights_of_a_net_without_a_stem_can_be_given_one(tmp_path: Path) -> None:
    net = plain()
    assert net.origin is not None
    name, arguments = net.origin
    info = WeightsInfo(
        name, arguments, "classification", ["a", "b", "c"], {}, "full", {}, {}, [], {}, "", {}
    )
    file = tmp_path / "net.safetensors"
    save_weights(file, net.state_dict(), info)
    changed = create_model(name, weights=file, rex_stem=1)
    assert torch.equal(
        changed.stages[1].exit.classifier.weight, net.stages[1].exit.classifier.weight
    )
    assert early_part(changed).rex.rex.cell == "mingru"


def test_a_map_of_many_channels_is_made_of_fewer() -> None:
    net = create_model("mobilenetv1", num_classes=3, rex_stem={"at": 1, "width": 24})
    original = with_early_part(create_model("mobilenetv1", num_classes=3), 1)
    stem, images = early_part(net), torch.randn(2, 3, 64, 64)
    assert stem.rex.out_channels == 24
    assert stem(images).shape == early_part(original)(images).shape == (2, 128, 16, 16)


class Arm(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv, self.side = nn.Conv2d(into, out, 3, 2, 1), nn.Conv2d(into, out, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x) + self.side(x)).relu()


class Followed(nn.Module):
    """A backbone whose code has to be followed: no chain of modules, 12 channels at a quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = Arm(3, 6), Arm(6, 12), Arm(12, 16)
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.c(self.b(self.a(x) * 2) * 2).mean((2, 3)))


def test_any_backbone_with_exits() -> None:
    net = attach_exits(Followed(), ["b"], 3).eval()
    original = with_early_part(copy.deepcopy(net), 1)
    changed = replace_stem(net, 1, 64)
    images = torch.randn(2, 3, 64, 64)
    assert (
        early_part(changed)(images).shape == early_part(original)(images).shape == (2, 12, 16, 16)
    )
    assert early_part(changed).first.conv.weight.shape == (32, 3, 3, 3)
    check_model(changed)


@pytest.mark.parametrize(
    ("stem", "said"),
    [
        (7, "at=7; the network has exits 1 to 6"),
        ("group9", "no module 'group9'.*stem, group0_block0, .* or an exit, 1 to 6"),
        ("stem", "'stem' the map of an image of 64x64 px is 32x32; a stem makes 1/4"),
        ({"at": 1, "size": 3}, "unknown key 'size'"),
        ({}, "no at; give an exit"),
        ({"at": True}, "at=True; give a whole number of at least 1, or the path"),
        ({"at": 1, "expansion": 0}, "expansion=0; give a whole number of at least 1"),
        ({"at": 1, "width": 4}, "width=4; give a whole number of at least 8"),
        ({"at": 1, "rex_form": "large"}, "unknown form of ReX 'large'"),
    ],
)
def test_what_cannot_be_is_refused(stem: Any, said: str) -> None:
    with pytest.raises(ExeuntError, match=said):
        replace_stem(plain(), stem, 64)


def test_networks_that_no_stem_fits_are_refused() -> None:
    with pytest.raises(ExeuntError, match="has a ReX stem already"):
        replace_stem(replace_stem(plain(), 1, 64), 1, 64)
    with pytest.raises(ExeuntError, match=r"CollaborativeStage; only plain stages"):
        replace_stem(plain(collaborative=True), 1, 64)
    with pytest.raises(ExeuntError, match="the network has no ReX stem"):
        early_part(plain())
    with pytest.raises(ExeuntError, match=r"hands on .*; a stem makes one map"):
        create_model("msdnet_cifar10", num_classes=3, rex_stem=1)


def test_a_state_of_two_maps_is_refused() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    net = MultiExitNet([Stage(Two(), make_exit("pooled", 3, 2))], 2)
    early = early_part(with_early_part(net, 1))
    assert isinstance(early, EarlyPart)
    with pytest.raises(ExeuntError, match=r"hands on \(1, 3, 8, 8\), \(1, 3, 8, 8\)"):
        early(torch.zeros(1, 3, 8, 8))
