"""Corrupt files of every kind that exeunt reads: each is read, or refused by its name.

`python tests/test_crafted_files.py --cases 20000 --seed 7` goes on for longer; `--kind recipe
--only 12` shows one case again.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gzip
import hashlib
import io
import json
import math
import pickle
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES = 700
SECONDS = 20  # of one case, on a busy machine
SPARE_BYTES = 3 << 30  # of memory, for all that is read

Edit = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: what it is called in messages of this test.
        folder: that holds a good one, and all that belongs to it.
        file: which of the files is corrupted.
        read: reads the folder as exeunt does.
        edits: of its content, besides those of bytes.
        share: how often it is tried, in relation to others.
    """

    name: str
    folder: Path
    file: str
    read: Callable[[Path], object]
    edits: tuple[Edit, ...] = ()
    share: int = 1


# What is done to bytes.


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30))):
        at = rng.randrange(min(len(data), rng.choice((64, 1000, len(data)))))
        changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(min(len(data), rng.choice((64, 1000, len(data)))))
    new = rng.choice(
        (b"\xff" * 8, b"\0" * 8, rng.randbytes(16), b"9" * 12, b"[" * 2000, b"\xed\xa0")
    )
    return data[:at] + new + data[at + len(new) :]


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[
        : rng.choice((rng.randrange(len(data)), rng.randrange(min(len(data), 100)), len(data) - 1))
    ]


def leave_out(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 4, 100, 3000)) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[start:]


def number(data: bytes, rng: random.Random) -> bytes:
    """Another number where there is one in the text."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", data[:200_000]))
    if not found:
        return flip(data, rng)
    one = rng.choice(found)
    text = rng.choice(
        (
            "-1",
            "0",
            "1e308",
            "1e999",
            "NaN",
            "9" * 23,
            "9" * 5000,
            "1.5",
            "true",
            '"1"',
            "1000000000",
        )
    )
    return data[: one.start()] + text.encode() + data[one.end() :]


BYTES: tuple[Edit, ...] = (flip, flip, overwrite, cut, leave_out, repeat, number)

# What is done to JSON.

ODD: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 1.5, -0.0, 1e308, math.nan, math.inf, 10**30, 2**63, 10**9),
    *("", "x" * 1000, "\0", "\ud800", "é", "../../etc/passwd", "/dev/zero", "full"),
    *([], {}, [[]], [None], {"": None}, [1, "a"], {"a": {"b": []}}, ["x"] * 1000),
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """All that can be changed: containers and their keys."""
    found, open_ends = [], [value]
    while open_ends:
        one = open_ends.pop()
        keys: Any = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], dict | list):
                open_ends.append(one[key])
    return found


def change(value: Any, rng: random.Random) -> str:
    """A JSON value, changed in one place or so, as text."""
    whole = {"whole": copy.deepcopy(value)}
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder, key = rng.choice(places(whole))
        match rng.randrange(6):
            case 0 if isinstance(holder, dict) and holder is not whole:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[key]))
            case 2 if isinstance(holder[key], dict):
                holder[key][rng.choice(("", "more", "sha256", "\0"))] = rng.choice(ODD)
            case 3:
                holder[key] = copy.deepcopy(rng.choice(places(whole))[0])
            case _:
                holder[key] = copy.deepcopy(rng.choice(ODD))
        if not isinstance(whole, dict) or "whole" not in whole:
            break
    with contextlib.suppress(ValueError):
        text = json.dumps(whole["whole"])
        match rng.randrange(25):
            case 0:
                deep = rng.choice((100, 2000, 100_000))
                return (
                    text.replace("null", "0", 1)[:-1] + ', "deep": ' + "[" * deep + "]" * deep + "}"
                )
            case 1:
                return text.replace("{", '{"format": 1, "format": 1, ', 1)
        return text
    return "{"


def edit_json(data: bytes, rng: random.Random) -> bytes:
    return change(json.loads(data), rng).encode("utf-8", "surrogatepass")


def edit_header(data: bytes, rng: random.Random) -> bytes:
    """The header of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    text = change(json.loads(data[8 : 8 + size]), rng).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def edit_metadata(data: bytes, rng: random.Random) -> bytes:
    """The JSON inside the header of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    key = rng.choice(list(header["__metadata__"]))
    inner = header["__metadata__"][key]
    edits = (
        change(json.loads(inner), rng),
        change(json.loads(inner), rng),
        number(inner.encode(), rng).decode(),
    )
    header["__metadata__"][key] = rng.choice(edits)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


def edit_toml(data: bytes, rng: random.Random) -> bytes:
    lines = data.decode().splitlines()
    at = rng.randrange(len(lines))
    key = lines[at].partition(" = ")[0]
    values = (
        "1e308",
        "100000000000000000000",
        "nan",
        "inf",
        "-1",
        "0",
        '""',
        "[]",
        "{}",
        "true",
        '"x"',
        "1979-05-27",
        "[" * 5000,
        "0x7fffffffffffffffffff",
        '"\\u0000"',
        '"1,2,x"',
    )
    lines[at] = f"{rng.choice((key, key, 'a' + '.a' * 3000, 'unknown'))} = {rng.choice(values)}"
    return "\n".join(lines).encode()


def edit_words(data: bytes, rng: random.Random) -> bytes:
    """The words of a text with separators."""
    words = re.split(r"([,\n:/+=])", data.decode("utf-8"))
    for _ in range(rng.choice((1, 1, 3))):
        words[rng.randrange(len(words))] = rng.choice(
            (
                "",
                "-1",
                "nan",
                "inf",
                "1e999",
                "9" * 30,
                "9" * 5000,
                "\0",
                '"',
                "a" * 200_000,
                "\r",
                "٣",
                "../x.png",
                "train",
                ",",
                "\n",
            )
        )
    return "".join(words).encode()


# Good files.


def tiny(num_classes: int = 3, in_chans: int = 3, width: int = 4) -> Any:
    """A network that begins with a convolution and ReX, with two exits."""
    from exeunt.chain import Block, chain
    from exeunt.net import MultiExitNet
    from exeunt.ops.conv import ConvNormAct
    from exeunt.ops.exits import make_exit
    from exeunt.ops.rex import ReX2d

    blocks = [
        Block("stem", ConvNormAct(in_chans, width, 3, 2), width),
        Block("rex", ReX2d(width, 4, 2, patch_size=4, stride=4), 16),
        Block("last", ConvNormAct(16, width, 3, 2), width),
    ]
    stages = chain(blocks, [1, 2], lambda _, channels: make_exit("pooled", channels, num_classes))
    return MultiExitNet(stages, num_classes, in_chans)


def run(*words: object) -> None:
    """A command line, which has to end well."""
    from typer.testing import CliRunner

    from exeunt.cli import app

    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, (words, done.output, done.exception)


class Good:
    """Makes good files, once, below a folder; a method for each kind, which has one of its own."""

    def __init__(self, root: Path) -> None:
        import numpy as np
        from PIL import Image

        self.root = root
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (30, 3, 32, 32), dtype=np.uint8)
        self.images = root / "images"
        for i, pixels in enumerate(self.pixels):
            path = self.images / "abc"[i % 3] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)

    def kinds(self) -> Iterator[Kind]:
        for name, method in sorted(vars(type(self)).items()):
            if name.startswith("of_"):
                folder = self.root / name.removeprefix("of_")
                folder.mkdir()
                yield from method(self, folder)

    def weights(self, path: Path) -> Path:
        """A weights file of the tiny network, as `exeunt train` leaves it."""
        import torch

        from exeunt.data import SplitSpec, Transform, fingerprint, open_source
        from exeunt.models import WeightsInfo, create_model, save_weights

        torch.manual_seed(0)
        arguments = {"num_classes": 3, "in_chans": 3, "width": 4}
        net = create_model("tiny", **arguments).eval()
        with torch.no_grad():
            for stage in net.stages:
                stage.exit.classifier.weight.normal_(0, 3)
        scores = {"accuracy": 0.5}
        info = WeightsInfo(
            architecture="tiny",
            arguments=arguments,
            task="classification",
            class_names=["a", "b", "c"],
            transform=Transform((32, 32)).to_dict(),
            policy="confidence:0.9/0.8,t=1.5",
            metrics={
                "test": {
                    "samples": 3,
                    "exits": [scores, scores],
                    "policy": {**scores, "spec": "full", "saving": 0.1, "exit_shares": [0.5, 0.5]},
                }
            },
            split=vars(SplitSpec()).copy(),
            calibration_hashes=["00"],
            data={
                "name": "a",
                "fingerprint": fingerprint(open_source(self.images).samples),
                "licence": "b",
            },
            command="exeunt train",
            versions={"exeunt": "0"},
            policy_history=["full"],
        )
        save_weights(path, net.state_dict(), info)
        return path

    def of_weights(self, folder: Path) -> Iterator[Kind]:
        from exeunt.cli.info import info
        from exeunt.trained import TrainedModel
        from exeunt.training.start import settings_of

        def read(folder: Path) -> None:
            path = str(folder / "w.safetensors")
            with contextlib.redirect_stdout(io.StringIO()):
                info(path)
            trained = TrainedModel.load(path)
            assert trained.policy(None).spec
            assert trained.split_spec
            assert settings_of(path)

        self.weights(folder / "w.safetensors")
        yield Kind("weights", folder, "w.safetensors", read, (edit_header, *[edit_metadata] * 6), 4)

    def of_exits(self, folder: Path) -> Iterator[Kind]:
        from exeunt.evaluate import exit_rows, load_table, replay
        from exeunt.policies import Confidence, Consistency

        def read(folder: Path) -> None:
            table = load_table(folder / "x.exits")
            exit_rows(table)
            repr(table)
            if table.task == "classification":
                replay(table, Confidence(0.5))
                replay(table, Consistency(1))

        run(
            "record",
            self.weights(folder / "w.safetensors"),
            self.images,
            "--split",
            "all",
            "--out",
            folder / "x.exits",
        )
        yield Kind("exits", folder, "x.exits", read, (edit_header, *[edit_metadata] * 4), 2)

    def of_partial(self, folder: Path) -> Iterator[Kind]:
        import torch

        from exeunt.evaluate.partial import PartialTable

        def begin(folder: Path, resume: bool) -> PartialTable:
            return PartialTable(
                folder / "x.exits",
                {"weights": "a", "batch_size": 2},
                shape=(2, 3),
                dtype=torch.float32,
                batch_size=2,
                resume=resume,
            )

        def read(folder: Path) -> None:
            with begin(folder, True) as table:
                table.rows()

        with begin(folder, False) as table:
            table.append(torch.arange(4), torch.zeros(2, 4, 3))
        yield Kind("recording that was begun", folder, "x.exits.partial", read)

    def of_run(self, folder: Path) -> Iterator[Kind]:
        import torch

        from exeunt.training import TrainConfig
        from exeunt.training.checkpoint import TrainState
        from exeunt.training.ema import Ema
        from exeunt.training.optimiser import Optimisers
        from exeunt.training.processes import processes_here
        from exeunt.training.run import Run

        record = {
            "config": TrainConfig(model="tiny").to_dict(),
            "data": {"fingerprint": "a"},
            "command": "b",
        }

        def state() -> TrainState:
            net = tiny()
            optimisers = Optimisers(net, TrainConfig("tiny", lr=0.1))
            sum(logits.sum() for logits in net(torch.zeros(2, 3, 32, 32))).backward()
            optimisers.step()
            return TrainState(net, Ema(net, 0.9), optimisers, [{"epoch": 1, "loss": 0.5}])

        fresh, processes = state(), processes_here("cpu")

        def resume(folder: Path) -> None:
            Run(folder).open(record, True)

        def load(folder: Path) -> None:
            fresh.load(folder / "last.safetensors", processes)

        Run(folder).open(record, False)
        fresh.save(folder / "last.safetensors")
        yield Kind("run", folder, "run.json", resume, (edit_json,) * 4)
        yield Kind(
            "checkpoint", folder, "last.safetensors", load, (edit_header, *[edit_metadata] * 3)
        )

    def of_recipe(self, folder: Path) -> Iterator[Kind]:
        from exeunt.training import TrainConfig, read_recipe

        def read(folder: Path) -> None:
            path = folder / "recipe.toml"
            config = TrainConfig.from_dict(read_recipe(path), str(path))
            with naming(path):
                repr((config.exit_places, config.exit_heads, config.to_dict()))

        lines = [
            f"{key} = {json.dumps(value)}"
            for key, value in TrainConfig(model="tiny").to_dict().items()
            if value is not None
        ]
        (folder / "recipe.toml").write_text("\n".join(lines), encoding="utf-8")
        yield Kind("recipe", folder, "recipe.toml", read, (edit_toml,) * 5, 2)

    def of_onnx(self, folder: Path) -> Iterator[Kind]:
        import numpy as np

        from exeunt.export.onnx.reader import open_exits
        from exeunt.runner import StagedModel

        def read(folder: Path) -> None:
            model = StagedModel(folder, threads=1)
            model.predict(np.zeros((1, *model.image_shape), np.float32))
            open_exits(str(folder))

        def edit(data: bytes, rng: random.Random) -> bytes:
            """Another manifest, with its hash right."""
            from exeunt.runner import digest

            with contextlib.suppress(Exception):
                manifest = json.loads(edit_json(data, rng))
                return json.dumps({**manifest, "sha256": digest(manifest)}).encode()
            return flip(data, rng)

        def read_sealed(folder: Path) -> None:
            """Reads a manifest as if it were the one that the files were written with."""
            from exeunt.runner import digest, seal

            with contextlib.suppress(Exception):
                if not (folder / "manifest.json").is_file():
                    raise OSError
                manifest = json.loads((folder / "manifest.json").read_bytes())
                first = folder / manifest["stages"][0]["file"]
                if first.parent == folder:
                    data = re.sub(
                        rb"manifest\x12@[0-9a-f]{64}",
                        b"manifest\x12@" + seal(manifest).encode(),
                        first.read_bytes(),
                    )
                    first.write_bytes(data)
                    manifest["stages"][0]["sha256"] = hashlib.sha256(data).hexdigest()
                    (folder / "manifest.json").write_text(
                        json.dumps({**manifest, "sha256": digest(manifest)})
                    )
            read(folder)

        run(
            "export",
            self.weights(folder.parent / "onnx.safetensors"),
            "--target",
            "onnx",
            "--out",
            folder,
        )
        read(folder)
        yield Kind("ONNX manifest", folder, "manifest.json", read, (edit_json, *[edit] * 5), 2)
        yield Kind(
            "ONNX manifest, sealed", folder, "manifest.json", read_sealed, (edit_json,) * 30, 3
        )
        yield Kind("ONNX stage", folder, "stage_2.onnx", read)
        if (folder / "stem.safetensors").exists():
            yield Kind("ONNX stem", folder, "stem.safetensors", read)

    def of_c(self, folder: Path) -> Iterator[Kind]:
        from exeunt.export.c import Bundle

        for dtype, words in (("int8", ("--calibration", self.images)), ("float32", ())):
            place = folder / dtype
            run(
                "export",
                self.weights(self.root / "c.safetensors"),
                "--target",
                "c",
                "--dtype",
                dtype,
                *words,
                "--out",
                place,
            )
            Bundle.load(place)
            yield Kind(f"C folder, {dtype}", place, "report.json", Bundle.load, (edit_json,) * 7)

    def of_policy(self, folder: Path) -> Iterator[Kind]:
        import numpy as np
        import torch

        from exeunt import runner
        from exeunt.policies import parse_policy

        def read(folder: Path) -> None:
            if not (folder / "policy").is_file():
                return
            text = (folder / "policy").read_bytes().decode("utf-8", "surrogateescape")
            logits = np.linspace(-20, 20, 12, dtype=np.float32).reshape(4, 3)
            for make, errors, convert in (
                (parse_policy, (), torch.from_numpy),
                (runner.Policy, [], lambda x: x),
            ):
                memory: Any = errors
                with naming(folder):
                    policy = make(text)
                    for k in range(3):
                        _, memory = policy.observe(k, convert(logits), memory)

        (folder / "policy").write_text(
            "consistency:2+confidence:0.9/0.8,t=1.5/1+margin:0.25+entropy:-inf/0.5"
        )
        yield Kind("policy", folder, "policy", read, (edit_words,) * 7)

    def of_coco(self, folder: Path) -> Iterator[Kind]:
        from exeunt.data.coco import wake_words

        def instances(ids: range) -> dict[str, Any]:
            return {
                "info": {"year": 2017},
                "images": [
                    {"id": i, "file_name": f"{i}.jpg", "width": 20, "height": 10} for i in ids
                ],
                "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}],
                "annotations": [
                    {
                        "id": i,
                        "image_id": i,
                        "category_id": 1 + i % 2,
                        "bbox": [0, 0, 5.5, i],
                        "area": 3.5,
                        "iscrowd": 0,
                        "segmentation": [[1, 2, 3, 4]],
                    }
                    for i in ids
                ],
            }

        def read(folder: Path) -> None:
            wake_words(folder)
            wake_words(folder, measure="mask", minival=folder / "minival.txt")

        (folder / "annotations").mkdir()
        for part, ids in (("train", range(1, 9)), ("val", range(9, 12))):
            (folder / f"{part}2017").mkdir()
            for i in ids:
                (folder / f"{part}2017" / f"{i}.jpg").touch()
            path = folder / "annotations" / f"instances_{part}2017.json"
            path.write_text(json.dumps(instances(ids)))
        (folder / "minival.txt").write_text("1\n2\n9\n")
        yield Kind(
            "COCO", folder, "annotations/instances_train2017.json", read, (edit_json,) * 7, 2
        )
        yield Kind("minival", folder, "minival.txt", read, (edit_words,) * 3)

    def of_csv(self, folder: Path) -> Iterator[Kind]:
        for name, value in (("label", "abc"), ("value", "123")):
            place = folder / name
            shutil.copytree(self.images, place)
            files = [file.relative_to(place) for file in sorted(place.glob("*/*.png"))]
            lines = [
                f"{file.as_posix()},{value[i % 3]},{'train' if i % 4 else 'test'}"
                for i, file in enumerate(files)
            ]
            (place / "x.csv").write_text("\n".join([f"file,{name},split", *lines]))
            yield Kind(
                f"CSV, {name}",
                place,
                "x.csv",
                lambda folder: look(folder / "x.csv"),
                (edit_words,) * 4,
            )

    def of_imagenet(self, folder: Path) -> Iterator[Kind]:
        from exeunt.data.imagenet import SOLUTION, SYNSETS

        shutil.copytree(self.images, folder / "train")
        (folder / "val").mkdir()
        for i in range(6):
            shutil.copy(self.images / "a" / "0.png", folder / "val" / f"{i}.png")
        (folder / SYNSETS).write_text("a\nb\nc\n" * 2)
        yield Kind("synsets", folder, SYNSETS, look, (edit_words,) * 2)
        place = folder.parent / "imagenet_kaggle"
        shutil.copytree(folder, place)
        (place / SYNSETS).unlink()
        lines = [f"{i},{'abc'[i % 3]} 1 2 3 4 " for i in range(6)]
        (place / SOLUTION).write_text("\n".join(["ImageId,PredictionString", *lines]))
        yield Kind("Kaggle's solution", place, SOLUTION, look, (edit_words,) * 2)

    def of_shards(self, folder: Path) -> Iterator[Kind]:
        with tarfile.open(folder / "x-0.tar", "w") as tar:
            for i in range(9):
                png = (self.images / "abc"[i % 3] / f"{i}.png").read_bytes()
                label = b"abc"[i % 3 : i % 3 + 1] if i % 2 else b'{"label": "%c"}' % b"abc"[i % 3]
                for name, content in (
                    (f"{i}.png", png),
                    (f"{i}.{'cls' if i % 2 else 'json'}", label),
                ):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        (folder / "classes.txt").write_text("a\nb\nc\n")

        def edit(data: bytes, rng: random.Random) -> bytes:
            """Bytes of a header, with its checksum right."""
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                at = rng.choice(tar.getmembers()).offset
            header = bytearray(data[at : at + 512])
            field = rng.choice(
                (
                    slice(0, 100),
                    slice(100, 108),
                    slice(124, 136),
                    slice(156, 157),
                    slice(157, 257),
                    slice(257, 265),
                )
            )
            new = rng.choice(
                (
                    b"9" * 200,
                    b"7" * 200,
                    b"\xff" * 200,
                    b"\x80" + b"\xff" * 200,
                    b"-1\0" * 99,
                    b"\0" * 200,
                    rng.randbytes(200),
                    b"L" * 200,
                    b"x" * 200,
                    b"S" * 200,
                    b"../" * 99,
                )
            )
            header[field] = new[: field.stop - field.start]
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            return data[:at] + bytes(header) + data[at + 512 :]

        yield Kind("shard", folder, "x-0.tar", look, (edit,) * 5)
        yield Kind("classes", folder, "classes.txt", look, (edit_words,) * 2)

    def of_idx(self, folder: Path) -> Iterator[Kind]:
        for prefix in ("train", "t10k"):
            content = {
                "images-idx3": bytes((0, 0, 8, 3, 0, 0, 0, 6, 0, 0, 0, 32, 0, 0, 0, 32))
                + self.pixels[:6, 0].tobytes(),
                "labels-idx1": bytes((0, 0, 8, 1, 0, 0, 0, 6, *[0, 1, 2] * 2)),
            }
            for name, data in content.items():
                path = folder / f"{prefix}-{name}-ubyte"
                if prefix == "train":
                    path.write_bytes(data)
                else:
                    path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 1))
        for name in (
            "train-images-idx3-ubyte",
            "train-labels-idx1-ubyte",
            "t10k-images-idx3-ubyte.gz",
        ):
            yield Kind(name, folder, name, look)

    def of_cifar(self, folder: Path) -> Iterator[Kind]:
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        batch = {"data": self.pixels[:6].reshape(6, -1), "labels": [0, 1, 2] * 2}
        for name in names:
            (folder / name).write_bytes(pickle.dumps(batch, 2))
        (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["a", "b", "c"]}, 2))
        yield Kind("CIFAR pickle", folder, "data_batch_1", look)
        yield Kind("CIFAR classes", folder, "batches.meta", look)
        packed = folder.parent / "cifar_packed"
        packed.mkdir()
        with tarfile.open(packed / "cifar.tar.gz", "w:gz") as tar:
            tar.add(folder, "cifar-10-batches-py")
        yield Kind(
            "CIFAR archive", packed, "cifar.tar.gz", lambda folder: look(folder / "cifar.tar.gz")
        )
        binary = folder.parent / "cifar_binary"
        binary.mkdir()
        rows = b"".join(bytes((i % 3,)) + self.pixels[i].tobytes() for i in range(6))
        for name in names:
            (binary / f"{name}.bin").write_bytes(rows)
        (binary / "batches.meta.txt").write_text("a\nb\nc\n")
        yield Kind("CIFAR, binary", binary, "data_batch_1.bin", look)

    def of_pictures(self, folder: Path) -> Iterator[Kind]:
        from PIL import Image

        from exeunt.data import Transform, load_image
        from exeunt.data.decode import IMAGE_SUFFIXES
        from exeunt.runner import Preprocessing

        preparation = Preprocessing(Transform((8, 8)).to_dict())
        for suffix in sorted({*IMAGE_SUFFIXES} - {".jpeg"}):

            def read(folder: Path, name: str = f"x{suffix}") -> None:
                with contextlib.suppress(ValueError):
                    preparation.load(folder / name)
                Transform((8, 8))(load_image(folder / name))

            with contextlib.suppress(KeyError, OSError):  # not all of Pillow's are built everywhere
                Image.fromarray(self.pixels[0].transpose(1, 2, 0)).save(folder / f"x{suffix}")
                yield Kind(f"image, {suffix}", folder, f"x{suffix}", read)

    def of_library(self, folder: Path) -> Iterator[Kind]:
        from exeunt.native import build, library

        def read(folder: Path) -> None:
            library.LIBRARY = folder / "libexeunt.so"
            library._loaded.cache_clear()
            library._chosen.cache_clear()
            library.native()

        if build.is_whole(build.LIBRARY):
            shutil.copy(build.LIBRARY, folder)
            shutil.copy(build.seal(build.LIBRARY), folder)
            yield Kind("library", folder, "libexeunt.so", read)
            yield Kind("library's seal", folder, "libexeunt.sha256", read)


def look(path: Path) -> None:
    """Opens DATA as commands do, hashes what it holds and loads some of it."""
    from exeunt.data import SplitSpec, content_hash, fingerprint, make_splits, open_source

    source = open_source(path)
    fingerprint(source.samples)
    with naming(path):
        make_splits(source, SplitSpec())
    for sample in source.samples[:3]:
        with naming(path):
            content_hash(sample.place)
        sample.place.load()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """For what has no file of its own."""
    try:
        yield
    except ValueError as error:
        if not is_said(error):
            raise
        raise type(error)(f"{path}: {error}") from error


# Trying them.


class TooSlowError(BaseException):
    """A case took too long."""


def is_said(error: BaseException) -> bool:
    from exeunt.errors import ExeuntError
    from exeunt.runner import RunnerError

    named = isinstance(error, OSError) and error.filename  # commands say it in a line too
    return isinstance(error, ExeuntError | RunnerError) or bool(named)


def corrupt(path: Path, kind: Kind, rng: random.Random) -> str:
    """Corrupts a file; says how."""
    data = path.read_bytes()
    match rng.randrange(60):
        case 0:
            path.write_bytes(b"")
            return "empty"
        case 1:
            path.unlink()
            path.mkdir()
            return "a folder"
        case 2:
            path.unlink()
            path.symlink_to(rng.choice(("/dev/zero", "/dev/null", "nowhere", path.name)))
            return "a link"
        case 3:
            path.unlink()
            return "missing"
        case 4:
            path.chmod(0)
            return "no permission"
    edit = rng.choice(kind.edits + BYTES)
    path.write_bytes(edit(data, rng))
    return edit.__name__


def try_one(kind: Kind, seed: str, place: Path) -> str | None:
    """Reads a corrupt copy; returns what is wrong with how that ended."""
    rng = random.Random(seed)
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(kind.folder, place)
    how = corrupt(place / kind.file, kind, rng)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.read(place)
    except (Exception, TooSlowError) as error:
        if is_said(error) and str(place) in str(error):
            return None
        if is_said(error):
            return f"{how}: names no file: {error}"
        return f"{how}: {''.join(traceback.format_exception(error))[-3000:]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind")
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()

    import torch

    from exeunt.models import register_model

    torch.set_num_threads(1)
    register_model(tiny)

    def too_slow(*_: object) -> None:
        raise TooSlowError

    signal.signal(signal.SIGALRM, too_slow)
    failed = tried = 0
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "good").mkdir()
        kinds = list(Good(Path(temporary) / "good").kinds())
        if asked.kind:
            kinds = [kind for kind in kinds if kind.name == asked.kind]
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + SPARE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        each = asked.cases / sum(kind.share for kind in kinds)
        for kind in kinds:
            numbers = range(math.ceil(each * kind.share)) if asked.only is None else [asked.only]
            for n in numbers:
                print(f"{kind.name} {n}", file=sys.stderr, flush=True)  # the last one, on a crash
                wrong = try_one(kind, f"{asked.seed} {kind.name} {n}", Path(temporary) / "case")
                tried += 1
                if wrong is not None:
                    failed += 1
                    print(
                        f"--seed {asked.seed} --kind {kind.name!r} --only {n}: {wrong}", flush=True
                    )
    print(f"{tried} corrupt files of {len(kinds)} kinds, {failed} neither read nor refused")
    return min(failed, 1)


def test_corrupt_files_are_read_or_refused() -> None:
    """In a process of its own, which a bus error may end."""
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=600)
    last = done.stderr.strip().splitlines()[-20:]
    assert done.returncode == 0, f"{done.stdout}\nended with {done.returncode}, after {last}"
    tried, kinds = map(int, re.findall(r"(\d+) corrupt files of (\d+) kinds", done.stdout)[0])
    assert tried >= 600
    assert kinds >= 30


if __name__ == "__main__":
    sys.exit(main())
