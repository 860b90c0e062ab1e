"""Networks of ONNX files: what onnxruntime says, with exits."""

from __future__ import annotations

import base64
import json
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from exeunt.backbone import (
    OnnxGraph,
    attach_exits,
    graph_of,
    image_shape_of,
    places_of,
    read_onnx,
)
from exeunt.backbone.onnx.read import OPERATORS
from exeunt.contract import check_model
from exeunt.data import Transform
from exeunt.errors import ExeuntError
from exeunt.export.onnx import write_stages
from exeunt.graph import build_graph, interpret
from exeunt.models import create_model, default_image_size, load_weights, save_weights
from exeunt.policies import parse_policy
from exeunt.trained import TrainedModel
from exeunt.training import TrainConfig, train

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SHAPE = (3, 32, 32)


class File:
    """An ONNX file that grows node by node."""

    def __init__(self, opset: int = 17, batch: int | str = "n") -> None:
        self.nodes: list[Any] = []
        self.stored: list[Any] = []
        self.opset, self.batch = opset, batch
        self.chance = np.random.default_rng(0)

    def store(self, values: Any) -> str:
        name = f"w{len(self.stored)}"
        self.stored.append(onnx.numpy_helper.from_array(np.asarray(values), name))
        return name

    def random(self, *shape: int) -> str:
        return self.store(self.chance.normal(0, 0.5, shape).astype(np.float32))

    def add(self, kind: str, *inputs: str, outputs: int = 1, name: str = "", **given: Any) -> Any:
        made = [f"t{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, inputs, made, name, **given))
        return made if outputs > 1 else made[0]

    def conv(
        self, x: str, into: int, out: int, kernel: int = 3, name: str = "", **given: Any
    ) -> str:
        weights = self.random(out, into // given.get("group", 1), kernel, kernel), self.random(out)
        return self.add("Conv", x, *weights, name=name, **given)

    def classify(self, x: str, channels: int, classes: int = 5) -> str:
        pooled = self.add("Flatten", self.add("GlobalAveragePool", x))
        return self.add("Gemm", pooled, self.random(classes, channels), self.random(classes),
                        name="/head/fc/Gemm", transB=1)  # fmt: skip

    def write(self, path: Path, output: str, rank: int = 4) -> Path:
        kind = onnx.TensorProto.FLOAT
        image = onnx.helper.make_tensor_value_info("image", kind, [self.batch, *SHAPE])
        out = onnx.helper.make_tensor_value_info(output, kind, [*"abcd"[:rank]])
        graph = onnx.helper.make_graph(self.nodes, "net", [image], [out], self.stored)
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)], ir_version=8
        )
        onnx.save(model, path)
        return path


def theirs(path: Path, x: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"image": one.numpy()})[0] for one in x.split(1)]
    return torch.from_numpy(np.concatenate(parts))


def a_residual_net(path: Path, batch: int | str = "n") -> Path:
    """Stem, a residual block with squeeze-excite, a channel shuffle by sizes, a smaller block."""
    file = File(batch=batch)
    x = file.add("Relu", file.conv("image", 3, 8, pads=[1] * 4, strides=[2, 2], name="/stem/Conv"))
    y = file.conv(x, 8, 8, group=8, pads=[1] * 4, name="/blocks/blocks.0/dw/Conv")
    norms = [file.store(np.abs(file.chance.normal(1, 0.2, 8)).astype(np.float32)) for _ in range(4)]
    y = file.add("BatchNormalization", y, *norms)
    gate = file.conv(file.add("ReduceMean", y, axes=[2, 3], keepdims=1), 8, 8, 1)
    y = file.add("Mul", y, file.add("HardSigmoid", gate, alpha=1 / 6, beta=0.5))
    x = file.add("Add", x, y, name="/blocks/blocks.0/Add")
    sizes = [file.add("Gather", file.add("Shape", x), file.store(np.int64(k))) for k in range(4)]
    whole = [file.add("Unsqueeze", n, file.store(np.array([0]))) for n in sizes]
    two, half = file.store(np.array([2])), file.add("Div", whole[1], file.store(np.array([2])))
    apart = file.add("Concat", whole[0], two, half, *whole[2:], axis=0)
    x = file.add("Transpose", file.add("Reshape", x, apart), perm=[0, 2, 1, 3, 4])
    x = file.add("Reshape", x, file.add("Concat", *whole, axis=0), name="/shuffle/Reshape")
    x = file.conv(x, 8, 12, strides=[2, 2], auto_pad="SAME_UPPER", name="/blocks/blocks.1/Conv")
    x = file.add("Clip", x, file.store(np.float32(0)), file.store(np.float32(6)))
    return file.write(path, file.add("Softmax", file.classify(x, 12), axis=-1), rank=2)


@torch.no_grad()
@pytest.mark.parametrize("batch", ["n", 1])
def test_a_network_with_exits(tmp_path: Path, batch: int | str) -> None:
    path = a_residual_net(tmp_path / "net.onnx", batch)
    net, x = read_onnx(path), torch.randn(3, *SHAPE)
    torch.testing.assert_close(net(x).softmax(1), theirs(path, x))
    assert image_shape_of(path) == SHAPE
    names = [place.name for place in places_of(net, SHAPE)]
    assert names[:2] == ["stem_Conv", "relu_1"]
    assert {"blocks_0_Add", "shuffle_Reshape", "blocks_1_Conv"} < {*names}
    exits = attach_exits(net, ["blocks_0_Add", "relu_1"], 5, image_shape=SHAPE).eval()
    assert [info.channels for info in exits.exit_info(32)] == [8, 8, 12]
    assert torch.equal(exits(x)[-1], net(x))
    check_model(exits, 32)
    graph = build_graph(exits, 32)
    assert graph.exit_macs == tuple(info.macs for info in exits.exit_info(32))
    for got, wanted in zip(interpret(graph, x), exits(x), strict=True):
        torch.testing.assert_close(got, wanted)


def pooled(file: File) -> str:
    x = file.conv("image", 3, 4, pads=[0, 1, 2, 1])
    x = file.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1)
    return file.add("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1], pads=[1, 0, 1, 0])


def functions(file: File) -> str:
    x = file.conv("image", 3, 4)
    made = [file.add(kind, x) for kind in ("Tanh", "Sigmoid", "HardSwish", "Softplus", "Neg")]
    made += [file.add("LeakyRelu", x, alpha=0.3), file.add("Elu", x, alpha=0.7), file.add("Erf", x)]
    made += [file.add("PRelu", x, file.random(4, 1, 1)), file.add("HardSigmoid", x)]
    return file.add("Sum", *made)


def moves(file: File) -> str:
    x = file.conv("image", 3, 8)
    one, two = file.add("Split", x, file.store(np.array([3, 5])), outputs=2, axis=1)
    two = file.add("Slice", two, *(file.store(np.array([n])) for n in (1, 4, 1)))
    x = file.add("Concat", two, one, axis=1)
    x = file.add("Gather", x, file.store(np.array([5, 0, 2, 4])), axis=1)
    x = file.add("Pad", x, file.store(np.array([0, 0, 1, 0, 0, 0, 0, 2])))
    ends = (np.array([-1]), np.array([-(2**63)]), np.array([3]), np.array([-1]))
    return file.add("Slice", x, *(file.store(end) for end in ends))


def arithmetic(file: File) -> str:
    x = file.conv("image", 3, 4)
    by = file.store(np.linspace(0.5, 2, 4, dtype=np.float32).reshape(4, 1, 1))
    y = file.add("Div", file.add("Sub", file.store(np.float32(2)), x), by)
    mean = file.add("ReduceMean", y, axes=[2, 3], keepdims=0)
    gate = file.add("Unsqueeze", mean, file.store(np.array([2, 3])))
    spread = file.add("Expand", gate, file.add("Shape", y))
    return file.add("Max", file.add("Mul", y, spread), file.add("Min", x, y))


def resized(file: File) -> str:
    x, up = file.conv("image", 3, 4, 1), file.store(np.array([1, 1, 2, 2], np.float32))
    lines = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    x = file.add("Resize", x, "", up, mode="nearest", **lines)
    sizes = file.store(np.array([1, 4, 9, 15]))
    return file.add("Resize", x, "", "", sizes, mode="linear",
                    coordinate_transformation_mode="half_pixel")  # fmt: skip


def along(file: File) -> str:
    """ECA's gate, and a matrix with what is added to it."""
    x = file.conv("image", 3, 6)
    row = file.add("ReduceMax", x, axes=[2, 3], keepdims=0)
    row = file.add("Unsqueeze", row, file.store(np.array([1])))
    row = file.add("Conv", row, file.random(1, 1, 3), pads=[1, 1])
    row = file.add("Squeeze", row, file.store(np.array([1])))
    row = file.add("Add", file.add("MatMul", row, file.random(6, 6)), file.random(6))
    return file.add("Mul", x, file.add("Unsqueeze", row, file.store(np.array([2, 3]))))


@torch.no_grad()
@pytest.mark.parametrize("make", [pooled, functions, moves, arithmetic, resized, along])
def test_operators(tmp_path: Path, make: Callable[[File], str]) -> None:
    torch.manual_seed(0)
    file = File(batch=1)
    path = file.write(tmp_path / "net.onnx", make(file))
    net, x = read_onnx(path), torch.randn(1, *SHAPE)
    torch.testing.assert_close(net(x), theirs(path, x), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_there_and_back(tmp_path: Path) -> None:
    """What is written from a graph is read as a network of the same multiply-adds."""
    net, size = create_model("resnet8", 7, exits="last").eval(), 32
    (stage,) = write_stages(build_graph(net, size), {})
    onnx.save(stage.model, tmp_path / "net.onnx")
    name = f"onnx:{tmp_path / 'net.onnx'}"
    assert default_image_size(name) == size
    again = create_model(name, exits=3).eval()
    x = torch.randn(2, 3, size, size)
    torch.testing.assert_close(again(x)[-1], net(x)[-1], rtol=1e-4, atol=1e-5)
    assert (again.num_exits, again.num_classes) == (3, 7)
    infos = again.exit_info(size)
    heads = 7 * sum(info.channels for info in infos[:-1])
    assert infos[-1].macs - heads == net.exit_info(size)[-1].macs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda file: file.add("LRN", "image", size=3),
            r"'t0_0': LRN is not read here; Add, .*Upsam",
        ),
        (lambda file: file.add("Conv", "image", "image"), r"Conv by what is computed \('image'\)"),
        (
            lambda file: file.add("MatMul", "image", "image"),
            r"MatMul by what is computed",
        ),
        (
            lambda file: file.add("Pad", "image", file.store(np.array([0] * 7 + [1])), mode="edge"),
            "Pad with anything but zeros, which is not read here",
        ),
        (
            lambda file: file.add("Reshape", "image", file.store(np.array([0, 5, 7]))),
            r"Reshape to \[3, 5, 7\]",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, change: Callable[[File], str], message: str) -> None:
    file = File()
    path = file.write(tmp_path / "net.onnx", change(file))
    with pytest.raises(ExeuntError, match=message):
        read_onnx(path)


def test_what_is_no_network_of_images(tmp_path: Path) -> None:
    with pytest.raises(ExeuntError, match=r"none\.onnx: there is no such file"):
        create_model(f"onnx:{tmp_path / 'none.onnx'}")
    (tmp_path / "bad.onnx").write_bytes(b"\x00rubbish")
    with pytest.raises(ExeuntError, match=r"bad\.onnx is no ONNX file that can be read"):
        read_onnx(tmp_path / "bad.onnx")
    path = a_residual_net(tmp_path / "net.onnx")
    with pytest.raises(ExeuntError, match="takes images of 3 channels, not 1"):
        create_model(f"onnx:{path}", in_chans=1)
    with pytest.raises(ExeuntError, match=r"has no argument 'pretrained'; .*exits"):
        create_model(f"onnx:{path}", pretrained=True)
    assert {"Conv", "Gemm", "Reshape"} < {*OPERATORS}


@torch.no_grad()
def test_its_exits_are_trained_behind_a_trunk_that_stays(tmp_path: Path) -> None:
    """And it can be used as it is."""
    path = a_residual_net(tmp_path / "net.onnx")
    chance = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 190)):
        for split, count in (("train", 30), ("val", 6)):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = (level + chance.normal(0, 20, (34, 34, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    settings = {"model": f"onnx:{path}", "exits": "2", "regime": "exits", "epochs": 2}
    config = TrainConfig.from_dict({**settings, "batch_size": 16}, "here")
    assert config.image_size == 32
    with torch.enable_grad():
        info = train(config, tmp_path / "data", tmp_path / "run")
    assert len(info.arguments["exits"]) == 1
    net, _ = load_weights(tmp_path / "run" / "best.safetensors")
    first = net.stages[0].trunk.stem_Conv
    assert isinstance(first, nn.Conv2d)
    assert torch.equal(first.weight, read_onnx(path).stem_Conv.weight)
    own = TrainedModel.load(f"onnx:{path}")
    assert (own.net.num_exits, own.info.class_names) == (1, [*"01234"])
    x = torch.randn(2, *SHAPE)
    torch.testing.assert_close(own.net(x)[0].softmax(1), theirs(path, x))


def test_a_run_needs_neither_the_file_nor_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_residual_net(tmp_path / "net.onnx")
    net = create_model(f"onnx:{path}", 2, exits=["blocks_0_Add"]).eval()
    for tensor in net.state_dict().values():
        tensor.add_(torch.rand(tensor.shape).to(tensor))
    transform, names = Transform(SHAPE[1:]), ["dark", "light"]
    made = TrainedModel.of(net, transform, names, parse_policy("full"), None, {})
    x = torch.randn(2, *SHAPE)
    with made.as_file() as file, torch.no_grad():
        run = file.rename(tmp_path / "best.safetensors")
        save_weights(
            tmp_path / "kept.safetensors", made.kept(1).net.state_dict(), made.kept(1).info
        )
        shutil.copy(run, file)  # which the block takes away
    path.unlink()
    monkeypatch.setitem(sys.modules, "onnx", None)
    again, info = load_weights(run)
    assert info.arguments["exits"] == ["blocks_0_Add"]
    assert len(info.arguments["graph"]) < 2500
    cut, _ = load_weights(tmp_path / "kept.safetensors")
    with torch.no_grad():
        assert all(map(torch.equal, again(x), net(x)))
        assert torch.equal(cut(x)[0], net(x)[0])
    config = TrainConfig.from_dict({"init": str(run)}, "here")
    assert (config.image_size, config.exits) == (32, "blocks_0_Add")
    torch.testing.assert_close(
        create_model(f"onnx:{path}", weights=run).state_dict(), net.state_dict()
    )
    with pytest.raises(
        ExeuntError, match=r"net\.onnx: there is no such file|with onnx, which is not"
    ):
        create_model(f"onnx:{path}")


def test_a_stored_network_that_is_damaged(tmp_path: Path) -> None:
    graph = graph_of(a_residual_net(tmp_path / "net.onnx"))
    text = graph.packed()
    again = OnnxGraph.unpacked(text, "here")
    assert (again.shape, again.batch, again.output) == (graph.shape, graph.batch, graph.output)
    assert again.packed() == text
    left_out = [t for t in again.tensors.values() if t.is_floating_point() and t.numel() > 16]
    assert left_out
    assert all(t.unique().numel() == 1 for t in left_out), "no weights"

    def told(**changes: Any) -> str:
        values = json.loads(zlib.decompress(base64.b64decode(text))) | changes
        return base64.b64encode(zlib.compress(json.dumps(values).encode())).decode()

    bomb = base64.b64encode(zlib.compress(b"[" * (1 << 25) + b"[", 9)).decode()
    for odd, why in (
        (text[:-20], "no end"),
        (text[:40] + ("A" if text[40] != "A" else "B") + text[41:], "is damaged"),
        ("no base64", "is damaged"),
        (bomb, "no end within"),
        (told(shape=[3, 1 << 20, 1 << 20]), "sizes that no network has"),
        (told(tensors={"w0": ["float32", [1 << 20, 1 << 20], None]}), "sizes"),
        (told(tensors={"w0": ["complex64", [1], [1]]}), "a tensor of complex64"),
        (told(batch=-3), "sizes that no network has"),
        (told(opset="17"), "opset must be a whole number"),
    ):
        with pytest.raises(ExeuntError, match=f"here: the network that is stored .*{why}"):
            OnnxGraph.unpacked(odd, "here")
    odd = told(nodes=[["Loop", "", ["image"], [graph.output], {}]])
    with pytest.raises(ExeuntError, match="Loop is not read here"):
        create_model("onnx:gone.onnx", graph=odd)
