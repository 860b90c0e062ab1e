"""Networks of timm and torchvision by name."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from exeunt.classifier import Classifier
from exeunt.contract import check_model
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.models import create_model, default_image_size, list_models, load_weights
from exeunt.predictor import answers, open_predictor
from exeunt.training import TrainConfig, train


class Block(nn.Module):
    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return torch.relu(x + y if x.shape == y.shape else y)


class Net(nn.Module):
    """As timm builds them: rows of rows, a classifier, and where stages end."""

    num_classes = 5

    def __init__(self, in_chans: int, value: float | None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_chans, 4, 3, 2, 1)
        rows = [(4, 6, 2), (6, 8, 2)]
        self.blocks = nn.Sequential(
            *(nn.Sequential(Block(a, b, s), Block(b, b, 1)) for a, b, s in rows)
        )
        self.classifier = nn.Linear(8, 5)
        modules = ("stem", "blocks.0", "blocks.1")
        self.feature_info = [
            {"module": name, "reduction": 2 ** (k + 1)} for k, name in enumerate(modules)
        ]
        if value is not None:
            for parameter in self.parameters():
                nn.init.constant_(parameter, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.blocks(self.stem(x)).mean((2, 3)))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """A timm of one network; whether its weights were asked for, each time it made one."""
    found: list[bool] = []

    def settings(name: str, allow_unregistered: bool) -> Any:
        if "." in name:
            raise RuntimeError(f"Invalid pretrained tag in {name}.")
        return config

    def make(name: str, pretrained: bool, in_chans: int) -> nn.Module:
        found.append(pretrained)
        return Net(in_chans, 0.05 if pretrained else None)

    config = SimpleNamespace(
        input_size=(3, 48, 48), mean=(0.5, 0.5, 0.5), std=(0.2, 0.3, 0.4), license="apache-2.0"
    )
    fake: Any = ModuleType("timm")
    fake.create_model, fake.list_models = make, lambda: ["tiny_net"]
    fake.get_pretrained_cfg = settings
    monkeypatch.setitem(sys.modules, "timm", fake)
    return found


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("exits", "places"),
    [
        ("paper", ["blocks.0"]),
        ("last", []),
        ("all", ["stem", "blocks.0.0", "blocks.0", "blocks.1.0"]),
        (3, ["stem", "blocks.0"]),
        ([3], ["stem", "blocks.0"]),
        (["blocks.0.0", "stem"], ["blocks.0.0", "stem"]),
        ("stem,blocks.0.0", ["blocks.0.0", "stem"]),
    ],
)
def test_exits(exits: Any, places: list[str]) -> None:
    """Multiply-adds: the stem 62,208; blocks 31,104, 46,656, 15,552 and 20,736; classifier 40."""
    torch.manual_seed(0)
    net = create_model("timm/tiny_net", 5, exits=exits)
    assert net.origin is not None
    assert net.origin[0] == "timm/tiny_net"
    assert sorted(net.origin[1]["exits"]) == sorted(places)
    assert net.num_exits == len(places) + 1
    check_model(net, 48)


def test_its_own_classifier_is_kept(asked: list[bool]) -> None:
    net = create_model("timm/tiny_net", pretrained=True)
    assert net.num_classes == 5
    assert net.stages[-1].exit.body.classifier.weight.unique().tolist() == pytest.approx([0.05])
    other = create_model("timm/tiny_net", 2, pretrained=True)
    assert other.stages[-1].exit.body.classifier.weight.shape == (2, 8)
    assert other.stages[0].trunk.stem.weight.unique().tolist() == pytest.approx([0.05])
    assert asked == [True, True]


@pytest.mark.usefixtures("asked")
def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "timm/tiny_net" not in list_models()
    assert default_image_size("timm/tiny_net") == 48
    with pytest.raises(ExeuntError, match="no classifier 'tiny_nat'; did you mean timm/tiny_net"):
        create_model("timm/tiny_nat")
    with pytest.raises(
        ExeuntError, match=r"no settings of 'tiny_net\.best'; leave out what follows"
    ):
        create_model("timm/tiny_net.best")
    with pytest.raises(ExeuntError, match=r"timm/tiny_net has no argument 'widht'; .*exits"):
        create_model("timm/tiny_net", widht=2)
    with pytest.raises(ExeuntError, match="no child 'nowhere'; names stem, blocks"):
        create_model("timm/tiny_net", exits=["nowhere"])
    with pytest.raises(ExeuntError, match="exits=9: the network has places for 1 to 5"):
        create_model("timm/tiny_net", exits=9)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ExeuntError, match=r"cannot be imported .*pip install \"exeunt\[timm\]\""):
        create_model("timm/tiny_net")


def test_training_begins_with_its_weights_and_loading_asks_for_none(
    asked: list[bool], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        for split, count in (("train", 30), ("val", 6)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (level + rng.normal(0, 20, (40, 40, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    settings = {"model": "timm/tiny_net", "model_args": {"pretrained": True}, "exits": "2"}
    config = TrainConfig.from_dict(
        settings | {"epochs": 1, "batch_size": 16, "regime": "exits"}, "here"
    )
    assert (config.image_size, config.std) == (48, [0.2, 0.3, 0.4])
    info = train(config, tmp_path / "data", tmp_path / "run")
    assert asked == [True, *[False] * (len(asked) - 1)]
    assert "pretrained" not in info.arguments
    assert info.arguments["exits"] == ["blocks.0.0"], "places, not how many"
    assert "apache-2.0" in info.data["licence"]
    net, again = load_weights(tmp_path / "run" / "best.safetensors")
    assert again.arguments == info.arguments
    for name, tensor in net.state_dict().items():
        if ".trunk." in name and name.endswith("conv.weight"):
            assert tensor.unique().tolist() == pytest.approx([0.05])


@pytest.mark.usefixtures("asked")
def test_what_needs_the_library_and_what_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights do; a folder of ONNX stages gives the same answers without."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    net = create_model("timm/tiny_net", pretrained=True)
    clf = Classifier(net, transform=Transform((48, 48)), class_names=[*"abcde"])
    clf.save(tmp_path / "net.safetensors")
    clf.export_onnx(tmp_path / "folder")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    (wanted,) = clf.predict([tmp_path / "one.png"])
    monkeypatch.setitem(sys.modules, "timm", None)
    folder = open_predictor(str(tmp_path / "folder"), None)
    (found,) = answers(folder, [folder.load(tmp_path / "one.png")])
    assert (found.label, found.exit) == (wanted.label, wanted.exit)
    assert found.probability == pytest.approx(wanted.probability, rel=1e-4)
    with pytest.raises(
        ExeuntError, match=r"net\.safetensors: timm/.* pip install \"exeunt\[timm\]"
    ):
        load_weights(tmp_path / "net.safetensors")


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "exits", "size"),
    [
        ("mobilenetv3_small_100", "paper", 64),
        ("resnet18", 3, 64),
        ("efficientnet_b0", "paper", 32),
        ("convnext_atto", 4, 64),
        ("ghostnet_100", "paper", 64),
        ("densenet121", "paper", 64),
        ("mobilevit_xxs", "last", 224),
    ],
)
def test_timm(timm: ModuleType, name: str, exits: Any, size: int) -> None:
    torch.manual_seed(0)
    made, create = [], timm.create_model

    def remember(*args: Any, **kwargs: Any) -> nn.Module:
        made.append(create(*args, **kwargs))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", remember)
        net = create_model(f"timm/{name}", exits=exits).eval()
    x = torch.randn(2, 3, size, size)
    assert torch.equal(net(x)[-1], made[0].eval()(x))


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("resnet18", 32), ("mobilenet_v2", 64), ("mobilenet_v3_small", 64)),
        *(("squeezenet1_1", 64), ("shufflenet_v2_x0_5", 32), ("regnet_y_400mf", 224)),
    ],
)
def test_torchvision(torchvision: ModuleType, name: str, size: int) -> None:
    torch.manual_seed(0)
    net = create_model(f"torchvision/{name}").eval()
    assert net.num_exits > 2
    theirs = torchvision.models.get_model(name).eval()
    ours = {
        key.partition(".trunk.")[2]: t for key, t in net.state_dict().items() if ".trunk." in key
    }
    last = f"stages.{net.num_exits - 1}.exit.body."
    ours |= {k.removeprefix(last): t for k, t in net.state_dict().items() if k.startswith(last)}
    theirs.load_state_dict(ours)
    x = torch.randn(2, 3, size, size)
    assert torch.equal(net(x)[-1], theirs(x))
