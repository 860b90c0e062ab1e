"""Exits for networks built the way that torchvision and timm build theirs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.backbone import attach_exits, even_places, named_places, places_of, stage_places
from exeunt.backbone.head import OwnHead
from exeunt.contract import check_model
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph, interpret


class Basic(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + self.conv1(x))


class ResNetLike(nn.Module):
    """Named and run as torchvision's ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Basic(8), Basic(8))
        self.layer2 = nn.Sequential(nn.Conv2d(8, 12, 1), Basic(12), Basic(12))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(12, 10)

    def features(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer2(self.layer1(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.flatten(self.avgpool(self.features(x)), 1))


class DenseNetLike(nn.Module):
    """As torchvision's DenseNet, VGG and MobileNet: `features`, functions, `classifier`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 6, 3, 2, 1))
        self.features.add_module("block1", Basic(6))
        self.features.add_module("block2", nn.Conv2d(6, 9, 3, 2, 1))
        self.classifier = nn.Linear(9, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(F.relu(self.features(x)), 1).flatten(1))


class Classifying(nn.Module):
    """As torchvision's SqueezeNet: the classifier is a convolution, and pools the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 1))
        self.classifier = nn.Sequential(nn.Conv2d(8, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.classifier(self.features(x)), 1)


class Listed(nn.Module):
    """Blocks in lists that take turns, as ConvNeXt's first code has them."""

    def __init__(self, turns: bool) -> None:
        super().__init__()
        self.turns = turns
        self.down = nn.ModuleList([nn.Conv2d(3, 4, 2, 2), nn.Conv2d(4, 6, 2, 2)])
        self.stages = nn.ModuleList([Basic(4 if turns else 6), Basic(6)])
        self.head = nn.Linear(6, 5)

    def features(self, x: Tensor) -> Tensor:
        if self.turns:
            for down, stage in zip(self.down, self.stages, strict=True):
                x = stage(down(x))
            return x
        for block in (*self.down, *self.stages):
            x = block(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


class InPlace(nn.Module):
    """As code from elsewhere: a function between children that works in place."""

    def __init__(self, low: float = 0.0) -> None:
        super().__init__()
        self.conv1, self.conv2, self.low = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), low

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        F.threshold(x, self.low, self.low, inplace=True)
        return self.conv2(x).mean((2, 3))


class Moody(nn.Module):
    """A child whose map is not its own: the backbone tells it what to do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        with torch.no_grad():
            self.conv2.weight.mul_(2)
            out = self.conv2(x)
            self.conv2.weight.mul_(0.5)
        return out.mean((2, 3))


class TokensLike(nn.Module):
    """As torchvision's ViT: a convolution, then an encoder of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_proj = nn.Conv2d(3, 8, 4, 4)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.conv_proj(x).flatten(2).mT)[:, 0])


class Asking(nn.Module):
    """As timm's transformers: what else `forward` takes has been settled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor, mask: Tensor | None = None, scale: float = 2.0) -> Tensor:
        x = self.stem(x)
        if mask is not None:
            x = x * mask
        return self.fc((x * scale).mean((2, 3)))


class Branching(nn.Module):
    """As HRNet: a list of blocks after the stem, each with maps of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.branches = nn.ModuleList([nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 2, 1)])
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.fc(torch.cat([branch(x).mean((2, 3)) for branch in self.branches], 1))


class Paired(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.stem(x)) + self.stem(x).mean()


class Two(nn.Module):
    """A block of two maps in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, self.conv(x)]


class Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.two, self.join = nn.Conv2d(3, 4, 3), Two(), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat(self.two(self.stem(x)), 1)).mean((2, 3))


class ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class UNetLike(nn.Module):
    """Two children in a row, then one that also reads the first."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, 2, 1)
        self.middle = nn.Conv2d(4, 4, 3, 1, 1)
        self.up = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        down = self.down(x)
        return self.up(torch.cat([down, self.middle(down)], 1))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.last = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.last(self.act(self.stem(x))))


class Normalising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(x / 255)


def last_state(net: nn.Module, x: Tensor) -> Tensor:
    state = net.begin(x)
    for k in range(net.num_exits):
        _, state = net.step(k, state)
    return state[0]


@torch.no_grad()
def test_a_resnet_keeps_its_modules_and_maps() -> None:
    torch.manual_seed(0)
    backbone = ResNetLike().train()
    net = attach_exits(backbone, ["maxpool", "layer1", "layer2.1"], num_classes=4)
    assert backbone.training, "the dry run leaves the mode alone"
    assert [info.channels for info in net.exit_info(64)] == [8, 8, 12, 12]
    assert net.stages[0].trunk.conv1 is backbone.conv1
    assert net.stages[2].trunk.layer2[1] is backbone.layer2[1]
    names = {name.partition(".trunk.")[2] for name in net.state_dict() if ".trunk." in name}
    assert names == {name for name in backbone.state_dict() if not name.startswith("fc")}
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(last_state(net.eval(), x), backbone.eval().features(x))


def test_a_resnet_keeps_the_contract() -> None:
    torch.manual_seed(0)
    check_model(attach_exits(ResNetLike(), ["layer1.0", "layer1", -1], 4), (33, 47))


@torch.no_grad()
def test_a_net_with_features() -> None:
    torch.manual_seed(0)
    backbone = DenseNetLike().eval()
    net = attach_exits(backbone, ["features.conv0", "features.block1"], num_classes=10).eval()
    assert [info.channels for info in net.exit_info(64)] == [6, 6, 9]
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(last_state(net, x), F.relu(backbone.features(x)))
    assert torch.equal(net(x)[-1], backbone(x))
    check_model(net, 32)


@torch.no_grad()
@pytest.mark.parametrize("size", [7, 8, 32])
def test_a_map_may_shrink_to_one_pixel(size: int) -> None:
    """Which is no pooling of the whole map if what shrinks it would not shrink a larger one."""
    torch.manual_seed(0)
    backbone = ResNetLike().eval()
    backbone.layer2[0].stride = (2, 2)
    net = attach_exits(backbone, ["layer1"], 4, image_shape=(3, size, size)).eval()
    assert [info.channels for info in net.exit_info(size)] == [8, 12]
    x = torch.randn(2, 3, size, size)
    torch.testing.assert_close(last_state(net, x), backbone.features(x))


@torch.no_grad()
@pytest.mark.parametrize(
    "block", [nn.Conv2d(3, 6, (3, 1), (2, 1)), nn.Sequential(nn.AdaptiveAvgPool2d((3, 2)))]
)
def test_maps_that_look_as_if_channels_were_last(block: nn.Module) -> None:
    net = attach_exits(nn.Sequential(block), [-1], 4, image_shape=(3, 13, 13))
    channels, height, width = net.stages[0].trunk(torch.randn(1, 3, 13, 13)).shape[1:]
    assert channels == height != width
    assert [info.channels for info in net.exit_info(13)] == [channels]


@torch.no_grad()
def test_a_classifier_that_pools() -> None:
    backbone = Classifying().eval()
    net = attach_exits(backbone, ["features.0"], 10, image_shape=(3, 16, 16)).eval()
    assert [info.channels for info in net.exit_info(16)] == [6, 8]
    x = torch.randn(2, 3, 24, 24)
    assert torch.equal(net(x)[-1], backbone(x))
    fresh = attach_exits(backbone, [], 4, image_shape=(3, 16, 16))
    assert [out.shape for out in fresh(x)] == [(2, 4)]


@torch.no_grad()
@pytest.mark.parametrize("turns", [False, True])
def test_members_of_lists_are_children(turns: bool) -> None:
    torch.manual_seed(0)
    backbone = Listed(turns).eval()
    net = attach_exits(backbone, ["down.1"], 4, image_shape=(3, 8, 8)).eval()
    assert net.stages[0].trunk.get_submodule("down.1") is backbone.down[1]
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(last_state(net, x), backbone.features(x))
    check_model(net, 16)


class Shared(nn.Module):
    """One convolution in two places, and two maps until the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, 1, 1)
        self.between = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.between(self.conv(x)))


class Sized(nn.Module):
    """Needs a number of the image later, and branches on its size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2]
        if height < 8:
            raise ValueError("too small")
        return self.last(self.stem(x)) * height


class Reordered(nn.Module):
    """The residual sum is a function, its arms cross it, and an activation works in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.blocks = nn.ModuleList([nn.Conv2d(4, 4, 3, 1, 1) for _ in range(3)])
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        early = x
        for block in self.blocks:
            arm = block(x)
            x = F.relu(x + arm, inplace=True)
        x = x + early
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 47)], ids=str)
@pytest.mark.parametrize(
    ("backbone", "at", "tensors"),
    [
        (ResNetLike(), ["maxpool", "layer1.0", "layer2.1.relu"], [1, 1, 1, 1]),
        (ResNetLike(), ["layer1.1.conv1"], [2, 1]),
        (DenseNetLike(), ["features.conv0", 0], [1, 1, 1]),
        (Reordered(), ["stem", "blocks.0", "blocks.1", "relu_1"], [1, 2, 3, 2, 1]),
        (UNetLike(), ["down", "middle"], [1, 2, 1]),
        (InPlace(), ["conv1"], [1, 1]),
        (Asking(), ["stem"], [1, 1]),
        (Twice(), ["stem"], [1, 1]),
        (Normalising(), [], [1]),
        (Lists(), ["stem"], [1, 1]),
        (Listed(False), ["down.0", "stages.0"], [1, 1, 1]),
        (Listed(True), ["stages.0", "down.0"], [1, 1, 1]),
        (Classifying(), ["features.0"], [1, 1]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_stages_give_what_the_backbone_gives(
    backbone: nn.Module, at: list[int | str], tensors: list[int], size: tuple[int, int]
) -> None:
    """To the last bit, whatever crosses a cut; exits disturb nothing."""
    torch.manual_seed(0)
    backbone.eval()
    x = torch.randn(2, 3, *size)
    wanted = backbone(x.clone())
    classes = wanted.shape[1] if wanted.dim() == 2 else 4
    net = attach_exits(backbone, at, classes).eval()
    state, found = net.begin(x), []
    for k in range(net.num_exits):
        before = [part.clone() for part in state]
        logits, moved = net.step(k, state)
        assert all(map(torch.equal, state, before)), "a stage leaves what it is given as it was"
        found.append(len(moved))
        state = moved
    assert found == tensors
    assert torch.equal(logits if wanted.dim() == 2 and found else state[-1], wanted) or (
        wanted.dim() == 2 and not isinstance(net.stages[-1].exit, OwnHead)
    )
    check_model(net, size)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["TokensLike", "Branching", "ChannelsLastOfAll"])
def test_a_backbone_without_a_last_map_has_one_exit(kind: str) -> None:
    backbone = globals()[kind]()
    assert places_of(backbone, (3, 16, 16)) == []
    assert named_places(backbone, (3, 16, 16), "paper", lambda _: ["stem"]) == [], "of no use"
    net = attach_exits(backbone.eval(), [], 5, image_shape=(3, 16, 16)).eval()
    x = torch.randn(2, 3, 16, 16)
    assert net.num_exits == 1
    assert torch.equal(net(x)[0], backbone(x))
    check_model(net, 16)


class ChannelsLastOfAll(nn.Module):
    """As timm's Swin, whose classifier takes channels that are last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.turned, self.fc = nn.Conv2d(3, 4, 2, 2), ChannelsLast(), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.relu(self.turned(self.stem(x))).mean((1, 2)))


class ChannelsInTheEnd(nn.Module):
    """As torchvision's Swin: channels are last until the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, 2)
        self.turned = ChannelsLast()
        self.norm, self.fc = nn.LayerNorm(4), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.turned(self.stem(x))).permute(0, 3, 1, 2)
        return self.fc(x.mean((2, 3)))


def test_exits_stand_where_channels_are_first() -> None:
    places = places_of(ChannelsInTheEnd().eval(), (3, 16, 16))
    assert [place.name for place in places] == ["stem", "permute"]


def test_its_own_classifier_is_the_last_exit() -> None:
    backbone = ResNetLike()
    net = attach_exits(backbone, ["layer1"], 10)
    assert net.stages[1].exit.body.fc is backbone.fc
    other = attach_exits(backbone, ["layer1"], 3)
    assert other.stages[1].exit.body.fc.out_features == 3
    assert backbone.fc.out_features == 10, "the backbone keeps its own"
    kinds = attach_exits(backbone, ["layer1"], 3, exit_head=["conv", "pooled"])
    assert [type(stage.exit).__name__ for stage in kinds.stages] == ["ConvExit", "PooledExit"]
    kinds = attach_exits(backbone, ["layer1"], 3, exit_head=["conv", "own"])
    assert [type(stage.exit).__name__ for stage in kinds.stages] == ["ConvExit", "OwnHead"]


def test_batch_norms_follow_the_mode() -> None:
    torch.manual_seed(0)
    backbone = ResNetLike().train()
    net = attach_exits(backbone, ["layer1"], 10)
    before = backbone.bn1.running_mean.clone()
    net(torch.randn(4, 3, 32, 32))
    assert not torch.equal(backbone.bn1.running_mean, before)
    net.eval()
    before = backbone.bn1.running_mean.clone()
    net(torch.randn(4, 3, 32, 32))
    assert torch.equal(backbone.bn1.running_mean, before)


@torch.no_grad()
def test_the_graph_follows_what_was_cut() -> None:
    torch.manual_seed(0)
    net = attach_exits(Reordered(), ["blocks.0", "relu_1"], 5).eval()
    x = torch.randn(2, 3, 24, 24)
    for got, wanted in zip(interpret(build_graph(net, 24), x), net(x), strict=True):
        torch.testing.assert_close(got, wanted)


def test_places() -> None:
    backbone = ResNetLike().eval()
    places = places_of(backbone, (3, 64, 64))
    assert [place.name for place in places[3:]] == [
        *("maxpool", "layer1.0", "layer1", "layer2.0", "layer2.1", "layer2.2")
    ]
    macs = [8 * 147 * 32**2, *[72 * 8 * 256] * 2, 12 * 8 * 256, *[12 * 108 * 256] * 2]
    done = [sum(macs[: k + 1]) for k in range(len(macs))]
    total = sum(macs) + 120
    assert [place.share for place in places[3:]] == pytest.approx(
        [*(d / total for d in done[:-1]), 1]
    )
    assert even_places(places, 2) == ["maxpool"], "behind the first 45 % of all"
    assert stage_places(places) == [], "the only smaller map is behind the stem"
    with pytest.raises(ExeuntError, match=r"exits=99: .* places for 1 to 9, behind .*, layer1\.0,"):
        even_places(places, 99)


@pytest.mark.parametrize(
    ("backbone", "at", "message"),
    [
        (ResNetLike(), ["fc"], r"'fc' puts out a tensor \(2, 10\); exits read one map"),
        (ResNetLike(), ["layer9"], "no child 'layer9'; names conv1, .*functions flatten"),
        (ResNetLike(), ["layer1.0.conv9"], "no module .*'layer1.0' has conv1, relu"),
        (Listed(True), ["down"], "'down' is never called"),
        (UNetLike(), [9], "no child 9; positions 0 to 2, names down, middle, up"),
        (Sized(), [0], r"behind 'stem' .* still needs 'getitem', a int; what stages hand on are"),
        (Shared(), ["between"], r"'conv' .*runs in 2 stages, and its weights can be stored in one"),
        (Paired(), ["stem"], "'stem' runs 2 times"),
        (Moody(), [], r"\(Moody\) writes into 'conv2\.weight'"),
        (
            TokensLike(),
            [0],
            r"behind 'conv_proj' .*TokensLike.* no single map .* but 'encoder', .* works on a "
            r"tensor \(2, 256, 8\)",
        ),
        (Branching(), ["stem"], r"behind 'stem' .* but 'branches\.0', 'branches\.1', the first"),
        (Lists(), ["two"], r"'two' puts out 2 things: a tensor .*; exits read one map"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), Two()), [0], r"behind '0' .* but '1', the first"),
        (nn.Sequential(nn.Conv2d(3, 4, 1), ChannelsLast()), [0], r"'1' .* has its channels last"),
        (nn.Sequential(nn.Conv2d(4, 4, 1)), [0], r"'0' \(Conv2d\) does not run on a .*image_shape"),
        (Classifying(), ["classifier"], r"'classifier' puts out a tensor \(2, 10, 1, 1\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_cannot_be(backbone: nn.Module, at: list[int | str], message: str) -> None:
    with pytest.raises(ExeuntError, match=message):
        attach_exits(backbone, at, 4)


def test_a_backbone_that_cannot_be_is_left_in_its_modes() -> None:
    backbone = ResNetLike().train()
    backbone.layer1.eval()  # frozen, say
    modes = [module.training for module in backbone.modules()]
    with pytest.raises(ExeuntError):
        attach_exits(backbone, ["layer9"], 4)
    assert [module.training for module in backbone.modules()] == modes
