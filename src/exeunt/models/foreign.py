"""Networks of timm and torchvision by name, with exits: `timm/NAME`, `torchvision/NAME`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from torch import nn

from exeunt.backbone import attach_exits, named_places
from exeunt.errors import ExeuntError, nearest
from exeunt.models.pretrained import USUAL_MEAN, USUAL_STD, Input
from exeunt.models.source import Source
from exeunt.net import MultiExitNet


@dataclass(frozen=True)
class Library:
    """Where networks come from.

    Attributes:
        name: of the package, which is the first part of a network's name.
        names: of all its networks.
        make: one of them, from name, channels of the image, and whether it has its weights.
        stages: where a network itself says that its stages end; None where it does not.
        input: what a network's weights were trained on.
    """

    name: str
    names: Callable[[Any], Sequence[str]]
    make: Callable[[Any, str, int, bool], nn.Module]
    stages: Callable[[nn.Module], list[str] | None]
    input: Callable[[Any, str], Input]

    def package(self) -> Any:
        """The library.

        Raises:
            ExeuntError: when it is not installed, or cannot be imported.
        """
        try:
            return import_module(self.name)
        except (ImportError, RuntimeError) as error:
            reason = str(error).partition("\n")[0]
            raise ExeuntError(
                f"{self.name}/... are networks of {self.name}, which cannot be imported "
                f'({reason}): pip install "exeunt[{self.name}]"'
            ) from error

    def known(self, network: str) -> Any:
        """The library, in which there is such a network.

        Raises:
            ExeuntError: when there is none, with the nearest names.
        """
        package = self.package()
        names = self.names(package)
        if network.partition(".")[0] not in names:
            near = nearest(network, names)
            guess = (
                f"; did you mean {' or '.join(f'{self.name}/{n}' for n in near)}?" if near else ""
            )
            raise ExeuntError(f"{self.name} has no classifier {network!r}{guess}")
        return package


def build_foreign(
    library: Library,
    network: str,
    num_classes: int | None = None,
    in_chans: int = 3,
    *,
    exits: str | int | Sequence[str | int] = "paper",
    exit_head: str | Sequence[str] = "pooled",
    pretrained: bool = False,
) -> MultiExitNet:
    """A network of another library with exits.

    Its own classifier is the last exit, with a fresh last layer where the classes are not as many.

    Args:
        library: that has it.
        network: its name there.
        num_classes: K; as many as the network has by default.
        in_chans: channels of the image.
        exits: `"paper"` (where the network says that its stages end, or else behind the last map of
            each size), `"all"` (behind every module that hands on one map alone), `"last"`, a
            number (so many, evenly by multiply-adds), or the paths of modules.
        exit_head: `"pooled"`, `"mixed"`, `"rex"` or `"conv"`, for all exits but the last; or one
            for each exit, `"own"` being the network's classifier.
        pretrained: with the library's weights, which it may have to fetch.

    Raises:
        ExeuntError: when the library or the network is not there, or no exits can be attached.
    """
    package = library.known(network)
    size = library.input(package, network).image_size
    try:
        backbone = library.make(package, network, in_chans, pretrained)
    except ExeuntError:
        raise
    except Exception as error:  # whatever a library does, a failed download for one
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ExeuntError(f"{library.name}/{network}: {reason}") from error
    shape = (in_chans, size, size)
    at = named_places(backbone, shape, exits, library.stages)
    classes = num_classes or int(getattr(backbone, "num_classes", 1000))
    net = attach_exits(backbone, at, classes, exit_head=exit_head, image_shape=shape)
    net.origin = f"{library.name}/{network}", {"exits": at}
    return net


def _make_timm(timm: Any, network: str, in_chans: int, pretrained: bool) -> nn.Module:
    made: nn.Module = timm.create_model(network, pretrained=pretrained, in_chans=in_chans)
    return made


def _stages_of_timm(backbone: nn.Module) -> list[str] | None:
    """By its `feature_info`; the stem, at half of the image's size, left out."""
    info: Any = getattr(backbone, "feature_info", None)
    rows = [*(getattr(info, "info", None) or info or ())]
    modules = dict(backbone.named_modules())
    names = [row["module"] for row in rows if row.get("reduction", 0) > 2]
    if not names or any(name not in modules for name in names):
        return None
    return names[:-1]


def _input_of_timm(timm: Any, network: str) -> Input:
    try:
        cfg = timm.get_pretrained_cfg(network, allow_unregistered=False)
    except RuntimeError:  # there are such weights, but not by that tag
        cfg = None
    if cfg is None:
        raise ExeuntError(f"timm has no settings of {network!r}; leave out what follows the dot")
    return Input(
        int(cfg.input_size[-1]),
        tuple(map(float, cfg.mean)),
        tuple(map(float, cfg.std)),
        "the images of timm's weights",
        f"weights {cfg.license or 'as timm states'}",
    )


def _make_torchvision(torchvision: Any, network: str, in_chans: int, pretrained: bool) -> nn.Module:
    if in_chans != 3:
        raise ExeuntError(f"torchvision/{network} takes images of 3 channels, not {in_chans}")
    own = {} if network not in ("googlenet", "inception_v3") else {"init_weights": False}
    weights = "DEFAULT" if pretrained else None
    made: nn.Module = torchvision.models.get_model(network, weights=weights, **own)
    return made


def _input_of_torchvision(torchvision: Any, network: str) -> Input:
    weights = torchvision.models.get_model_weights(network)
    chosen = getattr(weights, "DEFAULT", None)
    if chosen is None:
        return Input(224, USUAL_MEAN, USUAL_STD, "", "")
    shown = chosen.transforms()
    return Input(
        int(shown.crop_size[0]),
        tuple(map(float, shown.mean)),
        tuple(map(float, shown.std)),
        "the images of torchvision's weights",
        "weights as torchvision states",
    )


TIMM = Library(
    "timm",
    lambda timm: timm.list_models(),
    _make_timm,
    _stages_of_timm,
    _input_of_timm,
)
TORCHVISION = Library(
    "torchvision",
    lambda torchvision: torchvision.models.list_models(torchvision.models),
    _make_torchvision,
    lambda backbone: None,
    _input_of_torchvision,
)


def _source(library: Library) -> Source:
    def theirs(network: str) -> Input:
        return library.input(library.known(network), network)

    build = partial(build_foreign, library)
    return Source(f"{library.name}/", build, theirs, lambda given: bool(given.get("pretrained")))


LIBRARIES = (_source(TIMM), _source(TORCHVISION))
