from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from exeunt.backbone import attach_exits
from exeunt.errors import ExeuntError
from exeunt.models import (
    MODELS,
    create_model,
    default_image_size,
    find_weights,
    list_models,
    register_model,
    registry,
)
from exeunt.net import MultiExitNet
from exeunt.trained import Network


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.MODELS, "_entries", dict(registry.MODELS._entries))


def tiny(num_classes: int = 1000, in_chans: int = 3, width: int = 4) -> MultiExitNet:
    """One convolution."""
    backbone = nn.Sequential(nn.Conv2d(in_chans, width, 3, 2, 1))
    return attach_exits(backbone, [], num_classes, image_shape=(in_chans, 32, 32))


def test_register_as_decorator_and_by_name() -> None:
    assert register_model(tiny) is tiny
    register_model(name="tiny_8")(lambda **kwargs: tiny(**kwargs, width=8))
    assert list_models("tiny*") == ["tiny", "tiny_8"]
    assert create_model("tiny_8", 3).stages[0].trunk[0].out_channels == 8
    assert create_model("tiny", 3, in_chans=1, width=5)(torch.randn(1, 1, 32, 32))[0].shape == (
        1,
        3,
    )


def test_what_a_network_is() -> None:
    register_model(partial(tiny, width=6), name="tiny_6")
    register_model(partial(tiny, width=7), name="tiny_7", about="Tiny, but not too much")
    assert registry.describe_model("tiny_6") == "One convolution (width=6)"
    assert registry.describe_model("tiny_7") == "Tiny, but not too much"


def test_the_images_a_network_was_designed_for() -> None:
    register_model(tiny, name="tiny_32", image_size=32)
    register_model(tiny)
    assert (default_image_size("tiny_32"), default_image_size("tiny")) == (32, 224)
    for name in list_models("*cifar*"):
        assert default_image_size(name) == 32


def test_the_number_of_classes_may_be_the_networks_own() -> None:
    register_model(partial(tiny, num_classes=7), name="tiny_7")
    assert create_model("tiny_7").num_classes == 7
    assert create_model("tiny_7", 3).num_classes == 3


def test_a_name_is_registered_once_and_without_dots() -> None:
    register_model(tiny)
    with pytest.raises(ExeuntError, match="'tiny' is registered already"):
        register_model(tiny)
    with pytest.raises(ExeuntError, match="holds a dot"):
        register_model(tiny, name="tiny.v2")


@pytest.mark.parametrize(
    "name", ["rex_mobilnetv2", "rexmobilenetv2", "REX_MOBILENETV2"[:0] + "rex_mobilenet"]
)
def test_unknown_names_are_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(ExeuntError, match=rf"unknown model '{name}'.*rex_mobilenetv2"):
        create_model(name)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: create_model("resnet18"), "timm/NAME and torchvision/NAME are networks of those"),
        (lambda: Network.open("net.onnx"), "an ONNX file is called onnx:net.onnx"),
        (lambda: Network.open("timm/"), "'timm/' is how names of networks begin"),
        (lambda: Network.open("onnx:"), "'onnx:' is how names of networks begin"),
        (lambda: find_weights("timm/resnet18"), "--model timm/resnet18 --set pretrained=true"),
        (lambda: find_weights("onnx:net.onnx"), "--model onnx:net.onnx$"),
        (lambda: create_model("efficientnet_lite0", pretrained=True), "weights=imagenet"),
        (lambda: create_model("efficientnet_lite0", weights="imagnet"), "did you mean imagenet"),
        (lambda: create_model("resnet8", pretrained=True), "no argument 'pretrained'"),
    ],
)
def test_names_of_other_libraries_are_pointed_to(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ExeuntError, match=text):
        make()


def test_unknown_tag_is_answered_with_what_ships() -> None:
    with pytest.raises(ExeuntError, match="everyday65"):
        create_model("rex_mobilenetv2_075.everyday65")


def test_a_type_error_of_the_builder_is_not_hidden() -> None:
    def faulty(in_chans: int, num_classes: int = 2) -> MultiExitNet:
        raise TypeError("something else")

    register_model(faulty)
    with pytest.raises(TypeError, match="something else"):
        create_model("faulty")


def test_a_network_made_of_another_has_only_arguments_of_its_own() -> None:
    """What the inner one was built with would be refused when the outer one is built anew."""

    def outer(num_classes: int = 3, in_chans: int = 3, exits: object = "paper") -> MultiExitNet:
        return create_model("rex_mobilenetv2_035", num_classes, in_chans=in_chans, exits=[0, 2])

    register_model(outer)
    try:
        net = create_model("outer", 3)
        assert net.origin == ("outer", {"num_classes": 3, "in_chans": 3, "exits": [0, 2]})
        again = create_model(*net.origin[:1], **net.origin[1])
        again.load_state_dict(net.state_dict())
    finally:
        MODELS.remove("outer")
