"""Exits for networks built the way that torchvision and timm build theirs."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exeunt.backbone import attach_exits
from exeunt.contract import check_model
from exeunt.errors import ExeuntError


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
    net = attach_exits(backbone, ["features.conv0", "features.block1"], num_classes=4)
    assert [info.channels for info in net.exit_info(64)] == [6, 6, 9]
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(last_state(net, x), backbone.features(x))
    check_model(net, 32)


@pytest.mark.parametrize(
    ("backbone", "at", "message"),
    [
        (ResNetLike(), ["fc"], r"no child 'fc'.*layer2 \('avgpool' pools the whole map, so exits"),
        (ResNetLike(), ["layer9"], "no child 'layer9'"),
        (ResNetLike(), ["layer1.0.conv1"], "inside 'layer1.0', a Basic"),
        (DenseNetLike(), ["classifier"], "'classifier' does not run on the output of the child"),
        (UNetLike(), ["up"], r"names down, middle \('up' does not run on the output"),
        (Twice(), [3], r"names stem, act, last \('act' runs twice"),
        (Normalising(), [], "Normalising. does not run its children one after the other"),
    ],
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
