"""A network with weights, and what is known of it: what MODEL means."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from exeunt.data import Sensor, SplitSpec, Transform
from exeunt.device import usable_device
from exeunt.documents import fields_of, naming
from exeunt.errors import ExeuntError
from exeunt.hub import on_hub
from exeunt.models import (
    MODELS,
    WeightsInfo,
    comes_with_weights,
    create_model,
    default_image_size,
    find_weights,
    is_model,
    list_models,
    load_weights,
    pretrained_names,
    save_weights,
    shipped_weights,
)
from exeunt.models.registry import unknown_name
from exeunt.models.weights import SUFFIX
from exeunt.net import MultiExitNet, unwrapped
from exeunt.policies import Policy, parse_policy
from exeunt.runner import MANIFEST
from exeunt.versions import versions


@dataclass(frozen=True)
class TrainedModel:
    """A network with weights, in evaluation mode, and what is known of it.

    Attributes:
        path: the weights file; None where there is none.
        net: the network, on its device.
        info: metadata of the weights.
        transform: from an image to the net's input.
        exit_macs: cumulative multiply-adds of every exit for one image of the transform's size.
    """

    path: Path | None
    net: MultiExitNet
    info: WeightsInfo
    transform: Transform
    exit_macs: tuple[int, ...]

    def seen_by(self, sensor: str | None) -> TrainedModel:
        """The same network, whose images are shown to a camera first; None for none.

        Raises:
            ExeuntError: when there is no such camera, or its frames are too small or too large.
        """
        if sensor is None:
            return self
        return replace(self, transform=replace(self.transform, sensor=Sensor.parse(sensor)))

    @classmethod
    def of(
        cls,
        net: nn.Module,
        transform: Transform,
        class_names: Sequence[str],
        policy: Policy,
        split: SplitSpec | None,
        data: dict[str, str],
    ) -> TrainedModel:
        """A network whose weights come from somewhere else.

        Args:
            net: the network, compiled or wrapped or neither.
            transform: from image to input.
            class_names: K of them; none for regression.
            policy: when to leave.
            split: what the training held out; None where that is unknown.
            data: name, fingerprint and licence of its images, as far as they are known.

        Raises:
            ExeuntError: when the class names or the transform do not fit the network.
        """
        net = unwrapped(net)
        outputs = len(class_names) or 1
        if net.num_classes != outputs:
            raise ExeuntError(
                f"{len(class_names)} class names for a network of {net.num_classes} outputs; give "
                "one for each, in the order of the logits"
            )
        if net.in_chans != transform.channels:
            raise ExeuntError(
                f"the transform gives {transform.channels} channels, the network takes "
                f"{net.in_chans}"
            )
        architecture, arguments = net.origin or ("", {})
        info = WeightsInfo(
            architecture=architecture,
            arguments=arguments,
            task="classification" if class_names else "regression",
            class_names=[*class_names],
            transform=transform.to_dict(),
            policy=policy.spec,
            metrics={},
            split={} if split is None else asdict(split),
            calibration_hashes=[],
            data=data,
            command="exeunt.Classifier",
            versions=versions(),
        )
        exit_macs = tuple(exit.macs for exit in net.exit_info(transform.image_size))
        return cls(None, net.eval(), info, transform, exit_macs)

    @classmethod
    def load(cls, model: str, device: str = "cpu") -> TrainedModel:
        """Finds and loads MODEL.

        Raises:
            ExeuntError: when it is an architecture alone, is not there or is damaged, or there is
                no such device.
        """
        path = weights_path(model)
        if path is None and comes_with_weights(model):
            return cls._as_it_comes(model, device)
        if path is None:
            shipped = [name for name in shipped_weights() if name.startswith(f"{model}.")]
            others = f"one of {', '.join(shipped)}, " if shipped else ""
            raise ExeuntError(
                f"{model} is an architecture, without weights; give {others}"
                "a run folder of `exeunt train` or a weights file"
            )
        net, info = load_weights(path)
        transform = transform_of(path, net, info)
        with naming(path):
            parse_policy(info.policy)
            exit_macs = tuple(info.macs for info in net.exit_info(transform.image_size))
        return cls(path, net.to(usable_device(device)), info, transform, exit_macs)

    @classmethod
    def _as_it_comes(cls, model: str, device: str) -> TrainedModel:
        """A network with weights of others as it is, its own classifier the only exit."""
        transform = Transform((default_image_size(model),) * 2)
        classes: int | None = None
        if model in pretrained_names():
            name, _, tag = model.partition(".")
            theirs = MODELS[name].pretrained[tag]
            transform = replace(transform, mean=theirs.mean, std=theirs.std)
            classes = theirs.num_classes
        net = create_model(model, classes, exits="last").to(usable_device(device))
        names = [str(k) for k in range(net.num_classes)]
        return cls.of(net, transform, names, parse_policy("full"), None, {})

    def require_file(self) -> Path:
        """The weights file it came from.

        Raises:
            ExeuntError: when there is none.
        """
        if self.path is None:
            raise ExeuntError(
                f"{self.info.architecture} comes with one exit and no file to store a policy in; "
                "`exeunt train` gives it exits, and a run that can be calibrated"
            )
        return self.path

    def policy(self, spec: str | None) -> Policy:
        """The policy of that spec; without one, the policy stored with the weights."""
        return parse_policy(self.info.policy if spec is None else spec)

    @property
    def split_spec(self) -> SplitSpec:
        """How the images of the training were split; by default values where that is unknown.

        Raises:
            ExeuntError: when the metadata hold no such thing.
        """
        return read_split(self.path or Path(self.info.architecture), self.info)

    def kept(self, exits: int) -> TrainedModel:
        """The same without what comes after its first exits. Its policy stays; figures of exits
        that are gone, and of the policy, do not.

        Raises:
            ExeuntError: when there are not so many exits.
        """
        net = copy.deepcopy(self.net)
        net.keep(exits)
        metrics = {
            split: {key: value for key, value in figures.items() if key != "policy"}
            | {"exits": figures["exits"][:exits]}
            for split, figures in self.info.metrics.items()
        }
        arguments = self.info.arguments | {"keep": exits}
        info = replace(self.info, arguments=arguments, metrics=metrics)
        return replace(self, path=None, net=net, info=info, exit_macs=self.exit_macs[:exits])

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        """A weights file of it: the one it came from, or one that is there in the `with` block.

        Raises:
            ExeuntError: when nothing says how to build the network anew.
        """
        if self.path is not None:
            yield self.path
            return
        self.require_architecture(type(self.net).__name__)
        with tempfile.TemporaryDirectory(prefix="exeunt-") as place:
            file = Path(place) / "best.safetensors"
            save_weights(file, self.net.state_dict(), self.info)
            yield file

    def require_architecture(self, name: str) -> None:
        """Refuses a network that a weights file could not name.

        Raises:
            ExeuntError: when `create_model` did not make it.
        """
        if not self.info.architecture:
            raise ExeuntError(
                f"{name}: a weights file names the architecture, and `create_model` did not "
                "make this network; register its builder (`exeunt.register_model`) and create it "
                "by name"
            )

    def saving(self, exit_index: int) -> float:
        """Share of the multiply-adds that an image leaving at this exit (from 0) does without."""
        return 1 - self.exit_macs[exit_index] / self.exit_macs[-1]


@dataclass(frozen=True)
class Network:
    """A network that need not have weights.

    Attributes:
        net: the network.
        image_size: (H, W) of the images that its weights, or else it, were made for.
        path: the weights file, if there is one.
        info: metadata of the weights, if there are any.
    """

    net: MultiExitNet
    image_size: tuple[int, int]
    path: Path | None = None
    info: WeightsInfo | None = None

    @classmethod
    def open(
        cls, model: str, keep: int | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Network:
        """Finds MODEL, which may be the bare name of an architecture.

        Args:
            model: as commands take it.
            keep: leave out what comes after so many exits.
            arguments: of an architecture.

        Raises:
            ExeuntError: when it is not there or is damaged, or has fewer exits, or has arguments
                that it does not take.
        """
        path = weights_path(model)
        if path is None:
            net, size = create_model(model, **arguments or {}), (default_image_size(model),) * 2
            if keep is not None:
                net.keep(keep)
            return cls(net, size)
        check_no_arguments(model, arguments)
        net, info = load_weights(path)
        if keep is not None:
            net.keep(keep)
        return cls(net, transform_of(path, net, info).image_size, path, info)


def check_no_arguments(model: str, arguments: Mapping[str, Any] | None) -> None:
    """Weights belong to the network that they were trained in.

    Raises:
        ExeuntError: when there are arguments for another.
    """
    if arguments:
        raise ExeuntError(
            f"{', '.join(arguments)}: {model} has weights, and its network is stored with them; "
            "only an architecture takes arguments"
        )


def transform_of(path: Path, net: MultiExitNet, info: WeightsInfo) -> Transform:
    """The transform of a weights file.

    Raises:
        ExeuntError: naming the file, when it is none, or does not give what the network takes.
    """
    with naming(path):
        transform = Transform.from_dict(info.transform)
        if transform.channels != net.in_chans:
            raise ExeuntError(
                f"transform.mode={transform.mode!r} does not go with {net.in_chans} channels"
            )
    return transform


def read_split(path: Path, info: WeightsInfo) -> SplitSpec:
    """How the images behind a weights file were split; by default values where that is unknown.

    Raises:
        ExeuntError: naming the file, when its metadata hold no such thing.
    """
    values = fields_of(SplitSpec, asdict(SplitSpec()) | info.split, f"{path}: split")
    with naming(path):
        return SplitSpec(**values)


def weights_path(model: str) -> Path | None:
    """The weights file that MODEL means, or None for the bare name of an architecture.

    Raises:
        ExeuntError: when it is neither, with the nearest valid names.
    """
    if (is_model(model) or comes_with_weights(model)) and not Path(model).exists():
        return None
    if (Path(model) / MANIFEST).is_file():
        raise ExeuntError(
            f"{model} is an exported folder of ONNX files, without weights; "
            "give the run folder or the weights that it was made of"
        )
    shipped = shipped_weights()
    is_path = Path(model).exists() or "/" in model or model.endswith(SUFFIX) or on_hub(model)
    if is_path or model in shipped:
        return find_weights(model)
    raise ExeuntError(unknown_name("model", model, [*list_models(), *shipped, *pretrained_names()]))
