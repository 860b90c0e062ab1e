"""A misspelt name is answered with what it may have been meant for, whatever is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exeunt import ReX2d, create_model
from exeunt.errors import ExeuntError, one_of
from exeunt.policies import parse_policy
from exeunt.profile import profile
from exeunt.training import TrainConfig


def config(**values: Any) -> TrainConfig:
    return TrainConfig.from_dict({"model": "mobilenetv2_035", **values}, "a recipe")


def init(name: str) -> TrainConfig:
    return TrainConfig.from_dict({"init": name}, "a recipe")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        (lambda: create_model("mobilnetv2"), "mobilenetv2"),
        (lambda: create_model("mobilenetv2", widht=0.3), "width"),
        (lambda: create_model("mobilenetv2", colaborative=True), "collaborative"),
        (lambda: create_model("mobilenetv2", downsample="lfit"), "lift"),
        (lambda: create_model("mobilenetv2", exits="papr"), "paper"),
        (lambda: create_model("mobilenetv2", exit_head="poled"), "pooled"),
        (lambda: ReX2d(3, 8, 8, patch_size=4, stride=4, cell="grru"), "gru"),
        (lambda: parse_policy("confidense:0.9"), "confidence"),
        (lambda: parse_policy("consistency:1+enropy:0.9"), "entropy"),
        (lambda: parse_policy("ful"), "full"),
        (lambda: config(epoch=3), "epochs"),
        (lambda: config(regime="joimt"), "joint"),
        (lambda: init("efficientnet_lite0.imagnet"), r"efficientnet_lite0\.imagenet"),
        (lambda: init("rex_mobilenetv2_075.everday64"), r"rex_mobilenetv2_075\.everyday64"),
        (lambda: config(precision="bfloat"), "bfloat16"),
        (lambda: profile(create_model("mobilenetv2_035"), 32, conventions=["stream"]), "streamed"),
    ],
)
def test_the_nearest_name_is_named(misspelt: Callable[[], object], meant: str) -> None:
    with pytest.raises(ExeuntError, match=rf"did you mean {meant}\b"):
        misspelt()


def test_without_a_near_name_all_are_listed() -> None:
    assert one_of("zzz", ["width", "dropout"]) == "one of width, dropout"
    with pytest.raises(ExeuntError, match="no argument 'heads'; one of width, exits"):
        create_model("mobilenetv2", heads=3)
