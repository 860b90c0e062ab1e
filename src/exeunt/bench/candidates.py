"""The networks that `exeunt bench` measures, from their names, and what they get right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from exeunt.bench.engine import Opened
from exeunt.bench.score import Score
from exeunt.bench.single_exit import plain
from exeunt.bench.workload import Workload, random_pixels, set_batch_statistics
from exeunt.calibrate import match_policy
from exeunt.data import MAX_UNREADABLE_FRACTION, Data, Transform
from exeunt.errors import ExeuntError
from exeunt.evaluate.splits import open_labelled, record_split, select_samples
from exeunt.export.calibration import CalibrationImages
from exeunt.models import (
    WeightsInfo,
    comes_with_weights,
    create_model,
    default_image_size,
    read_info,
)
from exeunt.policies import Full, Policy, parse_policy
from exeunt.profile import Shares
from exeunt.trained import TrainedModel, check_no_arguments, weights_path

if TYPE_CHECKING:
    from exeunt.evaluate import ExitTable

_RANGES = 8  # images without meaning, on which int8 finds ranges


@dataclass(frozen=True)
class Candidate:
    """A network to be measured, and what is known of its weights.

    Attributes:
        workload: the network.
        trained: its weights; None for random ones.
        policy: by which images leave; None where there is none.
        images: to find ranges and thresholds on; None without data.
        shares: where images leave, as the weights' metadata have it; None where nobody knows.
    """

    workload: Workload
    trained: TrainedModel | None
    policy: Policy | None
    images: CalibrationImages | None
    shares: Shares | None


@dataclass(frozen=True)
class BenchOptions:
    """What holds for all networks.

    Attributes:
        image_size: (H, W); None for each network's own.
        batch_size: pictures of each.
        data: labelled images; None to measure time alone.
        policy: spec of another policy than the stored ones.
        shares_from: weights whose shares networks without weights take.
        limit: how many images of the test split, at most.
        allow_unreadable: share of a split's images that may be unreadable.
    """

    image_size: tuple[int, int] | None
    batch_size: int
    data: Data | None
    policy: str | None
    shares_from: str | None
    limit: int | None
    allow_unreadable: float = MAX_UNREADABLE_FRACTION


def candidate(
    model: str, options: BenchOptions, single: bool, arguments: Mapping[str, Any] | None = None
) -> Candidate:
    """Opens MODEL.

    Args:
        model: as the command line has it.
        options: what holds for all.
        single: its last exit alone.
        arguments: of an architecture.

    Raises:
        ExeuntError: it is not there, or what is asked for does not fit it.
    """
    if weights_path(model) is None and not comes_with_weights(model):
        return _random(model, options, single, arguments or {})
    check_no_arguments(model, arguments)
    return trained_candidate(model, TrainedModel.load(model), options, single)


def trained_candidate(
    model: str, trained: TrainedModel, options: BenchOptions, single: bool
) -> Candidate:
    """The same of a network that is open; `model` is its name.

    Raises:
        ExeuntError: what is asked for does not fit it.
    """
    transform, info = trained.transform, trained.info
    if options.image_size not in (None, transform.image_size):
        if options.data is not None:
            own = "x".join(map(str, transform.image_size))
            raise ExeuntError(f"{model} is for images of {own}; with --data leave out --image-size")
        assert options.image_size is not None
        transform = replace(transform, image_size=options.image_size)
    policy: Policy = trained.policy(options.policy)
    shares = _stored(info, policy) if options.data is None else None
    if single:
        trained = _single(trained)
        policy, shares = Full(), _ALONE
    images = None
    if options.data is not None:
        images = CalibrationImages(trained, options.data, None, 32, 0, options.allow_unreadable)
        ranges = images.range_batches()
    else:
        ranges = _noise(transform)
    workload = Workload(
        _name(model, single),
        trained.net,
        transform,
        random_pixels(options.batch_size, transform),
        ranges,
        tuple(info.class_names),
    )
    return Candidate(workload, trained, policy, images, shares)


_ALONE = Shares("full", 0, (1.0,))


def _name(model: str, single: bool) -> str:
    name = Path(model).name if "/" in model else model
    return f"{name}, last exit alone" if single else name


def _random(
    model: str, options: BenchOptions, single: bool, arguments: Mapping[str, Any]
) -> Candidate:
    """A network with random weights, alive; its images leave as another's, if that is given."""
    size = options.image_size or (default_image_size(model),) * 2
    transform = Transform(size)
    torch.manual_seed(0)
    ranges = _noise(transform)
    net = set_batch_statistics(create_model(model, **arguments), ranges[0])
    shares, policy = None, None
    if single:
        net, shares = plain(net), _ALONE
    elif options.shares_from is not None:
        path = weights_path(options.shares_from)
        if path is None:
            raise ExeuntError(f"--shares-from {options.shares_from}: an architecture has no policy")
        info = read_info(path)
        policy = parse_policy(info.policy)
        shares = _stored(info, policy)
        if shares is None or len(shares.shares) != net.num_exits:
            raise ExeuntError(
                f"--shares-from {options.shares_from}: says nothing of the {net.num_exits} exits "
                f"of {model}; `exeunt calibrate` stores where images leave"
            )
    names = tuple(f"class {k}" for k in range(net.num_classes))
    pixels = random_pixels(options.batch_size, transform)
    name = " ".join((_name(model, single), *(f"{key}={value}" for key, value in arguments.items())))
    workload = Workload(name, net, transform, pixels, ranges, names)
    return Candidate(workload, None, policy, None, shares)


def _noise(transform: Transform) -> list[torch.Tensor]:
    pictures = random_pixels(_RANGES, transform)
    return [torch.stack([transform.normalise_pixels(one) for one in pictures])]


def _stored(info: WeightsInfo, policy: Policy) -> Shares | None:
    """Where calibration images leave by the stored policy, if that is the one wanted."""
    found = info.metrics.get("calibration", {})
    says = found.get("policy", {})
    if says.get("spec") != policy.spec or "exit_shares" not in says:
        return None
    shares = says["exit_shares"]
    total = sum(shares)  # they are stored rounded
    return Shares(policy.spec, found["samples"], tuple(share / total for share in shares))


def _single(trained: TrainedModel) -> TrainedModel:
    net = plain(trained.net)
    macs = tuple(info.macs for info in net.exit_info(trained.transform.image_size))
    return replace(trained, net=net, exit_macs=macs)


class Scores:
    """What candidates get right on the test split; each is recorded once.

    Args:
        options: where the images are.
    """

    def __init__(self, options: BenchOptions) -> None:
        self.options = options
        self._known: dict[tuple[str, str], Score] = {}

    def of(self, one: Candidate, opened: Opened, engine: str, dtype: str) -> Score | None:
        """Of a candidate in an engine; None without weights or data.

        In int8 thresholds are moved to where as many calibration images reach them as in float32,
        as `exeunt export` does.
        """
        if one.trained is None or one.images is None or one.policy is None:
            return None
        kind = f"{engine}, {dtype}" if opened.exits is not None else "float32"
        key = one.workload.name, kind
        if key not in self._known:
            trained, policy = one.trained, one.policy
            if opened.exits is not None:
                before = one.images.record(trained)
                trained = replace(trained, net=opened.exits)
                if one.workload.net.num_exits > 1:
                    policy = match_policy(policy, before, one.images.record(trained))
            self._known[key] = Score.of(self._test(trained), policy)
        return self._known[key]

    def _test(self, trained: TrainedModel) -> ExitTable:
        assert self.options.data is not None
        source = open_labelled(trained, self.options.data)
        samples = select_samples(trained, source, "test", self.options.limit)
        return record_split(
            trained,
            samples,
            "test",
            batch_size=32,
            workers=0,
            allow_unreadable=self.options.allow_unreadable,
        )
