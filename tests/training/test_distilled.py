"""One-for-all distillation and the two stages of IMTA (Li et al. 2019)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from exeunt.errors import ExeuntError
from exeunt.models import load_weights, read_info
from exeunt.training import Targets, TrainConfig, train
from exeunt.training.regimes import Distilled, Pass

SETTINGS = {"image_size": 32, "epochs": 1, "batch_size": 16, "limit": 40, "ema_decay": 0.0}


@pytest.fixture(scope="module")
def first(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first stage: all at once, with balanced gradients."""
    out = tmp_path_factory.mktemp("runs") / "first"
    values = {
        "model": "resnet_cifar",
        "model_args": {"depth": 8, "width": 4},
        "exits": "0,1",
        "gradient_equilibrium": True,
        **SETTINGS,
    }
    train(TrainConfig.from_dict(values, "here"), colours, out)
    return out


def test_the_loss_by_the_formula(first: Path) -> None:
    config = TrainConfig("resnet_cifar", init=str(first), distil_share=0.3, distil_temperature=2.0)
    names = read_info(first / "best.safetensors").class_names
    regime = Distilled(config, (1, 2, 3), names)
    torch.manual_seed(0)
    images, targets = torch.randn(5, 3, 32, 32), torch.tensor([0, 1, 2, 0, 1])
    logits = [torch.randn(5, 3) for _ in range(3)]
    losses = torch.stack([F.cross_entropy(out, targets) for out in logits])
    teacher, _ = load_weights(first / "best.safetensors")
    with torch.no_grad():
        t = (teacher(images)[-1] / 2).softmax(1)
    expected = losses[2]
    for i in (0, 1):
        y = (logits[i] / 2).softmax(1)
        divergence = (t * (t.log() - y.log())).sum(1).mean()
        expected = expected + 0.7 * losses[i] + 0.3 * 4 * divergence
    got = regime.loss(Pass(images, logits, losses, 0, Targets(targets)))
    torch.testing.assert_close(got, expected)
    for others in ([*names, "more"], []):
        with pytest.raises(ExeuntError, match=f"knows the classes {', '.join(names)}; those of"):
            Distilled(config, (1, 2, 3), others)


def test_the_second_stage_trains_collaborating_exits_on_the_first_ones_trunk(
    first: Path, colours: Path, tmp_path: Path
) -> None:
    values = {
        "init": str(first),
        "regime": "distilled",
        "model_args": {"collaborative": True},
        **SETTINGS,
    }
    train(TrainConfig.from_dict(values, "here"), colours, tmp_path / "second")
    before = load_weights(first / "best.safetensors")[0].state_dict()
    net, info = load_weights(tmp_path / "second" / "best.safetensors")
    assert info.arguments["collaborative"] is True
    assert type(net.stages[1].exit).__name__ == "CollaborativeExit"
    for name, tensor in net.state_dict().items():
        if ".trunk." in name:
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(
        net.state_dict()["stages.0.exit.classifier.weight"],
        before["stages.0.exit.classifier.weight"],
    )


def test_a_teacher_is_needed() -> None:
    with pytest.raises(ExeuntError, match="'distilled' needs init"):
        Distilled(TrainConfig("resnet_cifar"), (1, 2))
    for wrong in ({"distil_share": 1.5}, {"distil_temperature": 0.0}):
        with pytest.raises(ExeuntError, match=next(iter(wrong))):
            TrainConfig("resnet_cifar", **wrong)
