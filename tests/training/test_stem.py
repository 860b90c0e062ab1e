"""A ReX stem that learns what the early part of a trained network knows."""

from __future__ import annotations

import copy
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import exeunt
from exeunt.chain import Block, chain_net
from exeunt.errors import ExeuntError, ExeuntNote
from exeunt.models import MODELS, load_weights, register_model
from exeunt.net import MultiExitNet, Stage
from exeunt.ops.conv import ConvNormAct
from exeunt.ops.exits import make_exit
from exeunt.rex_stem import ReXStem, early_part, replace_stem, with_early_part
from exeunt.training import Pass, Quiet, Targets, TrainConfig, train
from exeunt.training.stem import Match, Stem, fit_last, mean_squared

SETTINGS: dict[str, Any] = {"image_size": 32, "batch_size": 16, "limit": 40, "optimizer": "adamw"}
SETTINGS |= {"crop_scale": 1.0, "flip": False}
STEM = {"at": 1, "rex_form": {"cell": "mingru", "norm": True, "hidden1": 4}, "expansion": 1}


@pytest.fixture(scope="module")
def first(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A trained network without ReX, three exits."""
    register_model(short_chain)
    out = tmp_path_factory.mktemp("runs") / "first"
    train(TrainConfig("short_chain", epochs=2, **SETTINGS), colours, out)
    yield out
    MODELS.remove("short_chain")


def short_chain(num_classes: int = 3, in_chans: int = 3) -> MultiExitNet:
    """Five blocks to an eighth of the image; exits behind the last three."""
    rows = [("a", 3, 8, 2), ("b", 8, 8, 2), ("c", 8, 16, 2), ("d", 16, 16, 1), ("e", 16, 16, 1)]
    blocks = [Block(name, ConvNormAct(i, o, 3, s), o) for name, i, o, s in rows]
    every = {"paper": [2, 3, 4]}
    return chain_net(
        blocks, "paper", every, range(5), num_classes, in_chans, exit_head="pooled", dropout=0.0
    )


def stemmed(first: Path, colours: Path, out: Path, **settings: Any) -> Path:
    values = {"init": str(first), "regime": "stem", "model_args": {"rex_stem": STEM}, "lr": 0.01}
    config = TrainConfig.from_dict(SETTINGS | values | settings, "here")
    resume = out.exists()
    with pytest.warns(ExeuntNote, match=r"rex_stem=.* multiply-adds and not .* bytes of RAM"):
        train(config, colours, out, resume=resume)
    return out


@pytest.fixture(scope="module")
def second(first: Path, colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stemmed(first, colours, tmp_path_factory.mktemp("runs") / "second", epochs=4)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def test_all_behind_the_stem_stays_bit_by_bit(first: Path, second: Path) -> None:
    before = load_weights(first / "best.safetensors")[0].state_dict()
    net, info = load_weights(second / "best.safetensors")
    after = net.state_dict()
    assert info.arguments["rex_stem"] == STEM
    rest = [name for name in after if ".rex_stem." not in name]
    assert {name for name in before if not name.startswith("stages.0.trunk.")} == {*rest}
    for name in rest:
        assert torch.equal(after[name], before[name]), name
    first_conv = "stages.0.trunk.rex_stem.first.conv.weight"
    assert before["stages.0.trunk.a.conv.weight"].shape == after[first_conv].shape


def test_the_map_gets_better_and_every_channel_is_told_of(second: Path) -> None:
    told = rows(second)
    channels = [key for key in told[0] if key.startswith("train_map_r2_")]
    net, _ = load_weights(second / "best.safetensors")
    assert len(channels) == net.exit_info(32)[0].channels
    errors = [float(row["train_map_error_1"]) for row in told]
    assert errors[-1] < errors[0]
    assert [row["train_map_error_3"] == "" for row in told] == [True, True, False, False]


def test_a_run_that_stopped_ends_as_one_that_did_not(
    first: Path, second: Path, colours: Path, tmp_path: Path
) -> None:
    class Stopping(Quiet):
        def epoch(self, entry: dict[str, Any]) -> None:
            if entry["epoch"] == 2:
                raise KeyboardInterrupt

    values = {"init": str(first), "regime": "stem", "model_args": {"rex_stem": STEM}, "lr": 0.01}
    settings = SETTINGS | values | {"epochs": 4}
    with pytest.raises(KeyboardInterrupt), pytest.warns(ExeuntNote):
        exeunt.train(colours, tmp_path / "run", progress=Stopping(), **settings)
    assert not (tmp_path / "run" / "best.safetensors").exists()
    stemmed(first, colours, tmp_path / "run", epochs=4)
    tensors = load_weights(tmp_path / "run" / "best.safetensors")[0].state_dict()
    for name, tensor in load_weights(second / "best.safetensors")[0].state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


def test_then_everything_is_trained_and_exported(
    second: Path, colours: Path, tmp_path: Path
) -> None:
    values = {"init": str(second), "epochs": 1, "lr": 1e-4, **SETTINGS}
    config = TrainConfig.from_dict(values, "here")
    assert config.model_args["rex_stem"] == STEM
    train(config, colours, tmp_path / "third")
    clf = exeunt.load(tmp_path / "third")
    clf.export_c(tmp_path / "c", calibration=colours, limit=16)
    assert exeunt.verify(tmp_path / "c", colours, limit=3).images == 3
    clf.export_onnx(tmp_path / "onnx")
    assert exeunt.verify(tmp_path / "onnx", colours, limit=3).images == 3


def test_what_a_stem_begins_with_is_least_squares() -> None:
    """NumPy's least squares finds no better last map."""
    torch.manual_seed(0)
    original = with_early_part(short_chain(), 1).eval()
    net = replace_stem(short_chain(), 1, 32).eval()
    images = torch.randn(16, 3, 32, 32)
    read: list[torch.Tensor] = []
    stem = early_part(net)
    stem.last.conv.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    fit_last(net, original, images)
    with torch.no_grad():
        got, wanted = stem.train()(images), early_part(original)(images)
    x = read[0].transpose(0, 1).flatten(1).T.double().numpy()
    y = wanted.transpose(0, 1).flatten(1).T.double().numpy()
    best, *_ = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)
    least = ((np.c_[x, np.ones(len(x))] @ best - y) ** 2).sum()
    error = float((got - wanted).double().square().sum())
    assert least <= error < 1.05 * least
    assert not net.training


class Mean(nn.Module):
    """An early part that a stem can be: an average of 4x4 pixels, then something linear."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.mix = nn.AvgPool2d(4), nn.Conv2d(3, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(self.pool(x))


def test_a_stem_that_can_make_the_map_learns_to() -> None:
    """Beside ReX the form has an averaging path of stride 2 behind a convolution of stride 2."""
    torch.manual_seed(0)
    stages = [Stage(nn.Sequential(Mean()), make_exit("pooled", 8, 3))]
    net = MultiExitNet(stages, 3).eval()
    original = with_early_part(copy.deepcopy(net), 1)
    form = ReXStem(1, {"cell": "mingru", "norm": True, "pooled": True, "hidden1": 2}, 1, 0)
    net = replace_stem(net, form, 32)
    images = torch.randn(32, 3, 32, 32)
    fit_last(net, original, images)
    stem, early = early_part(net).train(), early_part(original)
    optimiser = torch.optim.AdamW(stem.parameters(), lr=0.02, weight_decay=0)
    for step in range(60):
        optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / 60)
        loss = mean_squared(stem(images), early(images).detach())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    match = Match()
    match.add(stem(images), early(images))
    assert match.r2.min() > 0.9
    assert match.error < 0.1


def test_match_by_numpy() -> None:
    rng = np.random.default_rng(0)
    wanted, got = rng.normal(1, 2, (2, 6, 3, 4, 5))
    wanted[:, 2] = 7.0  # a channel that does not vary
    match = Match()
    for half in (slice(0, 2), slice(2, 6)):
        match.add(torch.tensor(got[half]), torch.tensor(wanted[half]))
    spread = ((wanted - wanted.mean((0, 2, 3), keepdims=True)) ** 2).sum((0, 2, 3))
    wrong = ((wanted - got) ** 2).sum((0, 2, 3))
    assert match.error == pytest.approx(wrong.sum() / spread.sum())
    assert match.r2[:2] == pytest.approx(1 - wrong[:2] / spread[:2])
    assert np.isnan(match.r2[2])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_args": {}}, "regime 'stem' needs rex_stem"),
        ({"model_args": {"rex_stem": 9}}, "rex_stem: at=9; the network has exits 1 to 3"),
        ({"init": None, "model": "short_chain"}, "needs a network that is trained: --init"),
        ({"quantize_aware": True}, "does not go with quantize_aware"),
        ({"model_args": {"rex_stem": STEM, "keep": 2}}, "has 2 exits from the stem on"),
        ({"teacher": "first"}, "does not go with teacher"),
    ],
)
def test_what_cannot_be_is_refused(
    first: Path, colours: Path, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    values = {"init": str(first), "regime": "stem", "model_args": {"rex_stem": STEM}, "epochs": 1}
    given = {key: v for key, v in (SETTINGS | values | settings).items() if v is not None}
    if "teacher" in given:
        given["teacher"] = str(first)
    with pytest.raises(ExeuntError, match=re.escape(said)):
        train(TrainConfig.from_dict(given, "here"), colours, tmp_path / "run")


def test_the_loss_by_the_formula(first: Path) -> None:
    """Maps and answers taken from the two networks by hand."""
    config = TrainConfig(
        "short_chain",
        init=str(first),
        model_args={"rex_stem": STEM},
        regime="stem",
        epochs=2,
        distil_share=0.3,
        distil_temperature=2.0,
    )
    regime = Stem(config, (1, 2, 3), ("blue", "green", "red"))
    original, _ = load_weights(first / "best.safetensors")
    net = replace_stem(load_weights(first / "best.safetensors")[0], STEM, 32)
    images = torch.randn(6, 3, 32, 32)
    for epoch in (0, 1):
        regime.prepare(net, epoch)
        assert net.stages[1].training is False
        logits = net(images)
        seen = Pass(images, logits, torch.zeros(3), epoch, Targets(torch.zeros(6).long()))
        loss = regime.loss(seen)
        net.stages[0].eval()
        early_part(net).train()
        made = maps(net, early_part(net)(images))
        with torch.no_grad():
            wanted = maps(original, original.stages[0].trunk(images))
            answers = original(images)
        apart = []
        for got, true in zip(made, wanted, strict=True):
            spread = true.var((0, 2, 3), correction=0)
            wrong = (got - true).square().mean((0, 2, 3))
            apart.append((wrong / (spread + 1e-3 * spread.mean())).mean())
        if epoch == 0:
            expected = apart[0]
        else:
            kl = [
                (t.softmax(1) * (t.log_softmax(1) - y.log_softmax(1))).sum(1).mean()
                for t, y in zip(
                    [a / 2 for a in answers], [y.detach() / 2 for y in logits], strict=True
                )
            ]
            expected = 0.7 * sum(apart) / 3 + 0.3 * 4 * sum(kl) / 3
        torch.testing.assert_close(loss.detach(), expected.detach(), rtol=1e-4, atol=1e-5)


def maps(net: MultiExitNet, first_map: torch.Tensor) -> list[torch.Tensor]:
    """What the three exits of a short chain read."""
    second = net.stages[1].trunk(first_map)
    return [first_map, second, net.stages[2].trunk(second)]


def test_a_stem_is_fitted_once(second: Path, colours: Path, tmp_path: Path) -> None:
    values = {"init": str(second), "regime": "stem", "epochs": 1, **SETTINGS}
    with pytest.raises(ExeuntError, match="has a ReX stem already"):
        train(TrainConfig.from_dict(values, "here"), colours, tmp_path / "run")
