"""Stem distillation: a ReX stem learns to make the map that a trained network's early part makes.

    exeunt train photos --init runs/net --set rex_stem=1 --regime stem --out runs/stem

No label is descended, so that images may have any: those of other classes, or what the network
itself answers. The rest of the network stays as it is, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exeunt.data import Sample, eval_loader
from exeunt.errors import ExeuntError
from exeunt.graph import build_graph
from exeunt.mode import evaluating
from exeunt.models import create_model, find_weights, load_weights, model_takes, pretrained_of
from exeunt.net import MultiExitNet
from exeunt.profile.planned import streamed_memory
from exeunt.rex_stem import CHILD, ReXStem, early_part, with_early_part
from exeunt.training.config import TrainConfig
from exeunt.training.plan import Plan
from exeunt.training.regimes import Pass, Regime, register_regime
from exeunt.training.teacher import divergence

_FITTED = 64  # images that the last convolution is fitted to
_RIDGE = 1e-3  # of the mean square of what it reads
_FLOOR = 1e-3  # of the mean variance of a map's channels; a channel that is constant has none


class Match:
    """How well maps agree with those they are to be, channel by channel.

    Sums are kept in float64: squares of the differences, values and squares of what is wanted, and
    how many pixels there were.
    """

    def __init__(self) -> None:
        self.sums: NDArray[np.float64] = np.zeros((4, 1))

    def add(self, got: Tensor, wanted: Tensor) -> None:
        """Takes in maps (N, C, H, W) and what they should be."""
        with torch.no_grad():
            got, wanted = (m.detach().double().transpose(0, 1).flatten(1) for m in (got, wanted))
            rows = [(got - wanted).square().sum(1), wanted.sum(1), wanted.square().sum(1)]
            rows.append(torch.full_like(rows[0], wanted.shape[1]))
            self.sums = self.sums + torch.stack(rows).cpu().numpy()

    @property
    def r2(self) -> NDArray[np.float64]:
        """Share of each channel's variance that is explained, (C,); 1 is all of it, and below 0 the
        channel's mean would have been better. NaN where it does not vary.
        """
        wrong, total, squares, count = self.sums
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = squares - total**2 / count
            return np.asarray(np.where(spread > 0, 1 - wrong / spread, np.nan))

    @property
    def error(self) -> float:
        """Squared error of all channels together, as a share of their variance."""
        wrong, total, squares, count = self.sums
        return float(wrong.sum() / (squares - total**2 / count).sum())


def mean_squared(got: Tensor, wanted: Tensor) -> Tensor:
    """The mean over channels of squared error by variance, for features (N, C, ...); a scalar."""
    got, wanted = (part.float().transpose(0, 1).flatten(1) for part in (got, wanted))
    spread = wanted.var(1, correction=0)
    return ((got - wanted).square().mean(1) / (spread + _FLOOR * spread.mean() + 1e-12)).mean()


@register_regime(name="stem")
class Stem(Regime):
    """Only the ReX stem learns, from the network it began with: to make the map that the early part
    makes, so that all exits read, and answer, what they did.

    In the first `mixed_share` of the epochs, rounded, the stem's map alone counts: the mean over
    its channels of squared error by variance. Then `(1 - g) M + g T^2 KL`, with `g = distil_share`
    and `T = distil_temperature`: M is the mean of that and of the same for what every exit reads
    behind it, KL the mean over the exits' answers. Where not all exits are the weights' own (for
    other classes, say), M alone counts. The weights of the last epoch are kept.

    Raises:
        ExeuntError: without `rex_stem` among the network's arguments, or weights of the network
            without it; with `quantize_aware`.
    """

    def __init__(
        self, config: TrainConfig, exit_macs: Sequence[int], class_names: Sequence[str] = ()
    ) -> None:
        super().__init__(config, exit_macs, class_names)
        _refuse(config)
        at = ReXStem.of(config.model_args[CHILD]).at
        original = original_of(config, class_names)
        self.original = with_early_part(original, at).eval().requires_grad_(False)
        self.known = False
        self.share, self.temperature = config.distil_share, config.distil_temperature
        self.turn = round(config.mixed_share * config.epochs)
        self.taught = _Maps(self.original)
        self.made: _Maps | None = None
        self.matches: list[Match] = []

    def prepare(self, net: MultiExitNet, epoch: int) -> None:
        net.eval().requires_grad_(False)
        early_part(net).train().requires_grad_(True)
        if self.made is None or self.made.net is not net:
            self.made = _Maps(net)
            self.known = _same_exits(net, self.original)
        self.matches = []

    def loss(self, seen: Pass) -> Tensor:
        assert self.made is not None
        self.original.to(seen.images.device)
        made, alone = self.made.take(), seen.epoch < self.turn
        with torch.no_grad():
            if alone:
                pairs = [(made[0], early_part(self.original)(seen.images))]
            else:
                answers = self.original(seen.images)
                pairs = [*zip(made, self.taught.take(), strict=True)]
        _refuse_other_size(*pairs[0], seen.images)
        self.matches += [Match() for _ in pairs[len(self.matches) :]]
        for match, pair in zip(self.matches, pairs, strict=True):
            match.add(*pair)
        maps = torch.stack([mean_squared(*pair) for pair in pairs]).mean()
        if alone or not self.known:
            return maps
        apart = [
            divergence(wanted.float(), logits, self.temperature)
            for wanted, logits in zip(answers, seen.logits, strict=True)
        ]
        return (1 - self.share) * maps + self.share * torch.stack(apart).mean()

    def complete(self, epoch: int) -> bool:
        return epoch == self.epochs - 1

    def columns(self, summed: Callable[[NDArray[Any]], NDArray[Any]]) -> dict[str, Any]:
        """`train_map_error` of the stem's map and, once they count, of what exits behind it read;
        `train_map_r2` of each
        of the stem's channels, none where one does not vary; see `Match`.
        """
        for match in self.matches:
            match.sums = summed(match.sums)
        assert self.made is not None
        errors = [match.error for match in self.matches]
        errors += [float("nan")] * (self.made.count - len(errors))
        r2 = self.matches[0].r2
        return {"train_map_error": _rounded(errors), "train_map_r2": _rounded(r2.tolist())}


def _refuse(config: TrainConfig) -> None:
    if CHILD not in config.model_args:
        raise ExeuntError(
            f"regime 'stem' needs {CHILD}, where the early part ends: --set {CHILD}=1 for the map "
            "that the first exit reads, or the path of a module"
        )
    for name in ("teacher", "quantize_aware"):
        if getattr(config, name):
            raise ExeuntError(
                f"regime 'stem' does not go with {name}, as it learns from the network it began "
                "with; give that when all is fine-tuned"
            )


def _same_exits(net: MultiExitNet, original: MultiExitNet) -> bool:
    """Whether all exits of two networks are the same to the bit.

    Raises:
        ExeuntError: when one has more of them.
    """
    if net.num_exits != original.num_exits:
        raise ExeuntError(
            f"regime 'stem': the network has {net.num_exits} exits from the stem on, and that of "
            f"the weights {original.num_exits}; leave out exits and keep"
        )
    mine, theirs = (
        {name: t.cpu() for name, t in each.state_dict().items() if ".exit." in name}
        for each in (net, original)
    )
    return mine.keys() == theirs.keys() and all(torch.equal(mine[n], theirs[n]) for n in mine)


def original_of(config: TrainConfig, class_names: Sequence[str]) -> MultiExitNet:
    """The network that a run with a ReX stem began with.

    Raises:
        ExeuntError: when the run begins with no weights, or with those of a network that has a ReX
            stem already.
    """
    if config.init is not None:
        net, info = load_weights(find_weights(config.init))
        if CHILD in info.arguments:
            raise ExeuntError(
                f"regime 'stem': init={config.init!r} has a ReX stem already; begin with the "
                "network without it, or fine-tune by another regime"
            )
        return net
    arguments = {key: value for key, value in config.model_args.items() if key != CHILD}
    if pretrained_of(config.model, arguments) is None:
        raise ExeuntError(
            "regime 'stem' needs a network that is trained: --init, or weights of another package "
            "(--set weights=imagenet, --set pretrained=true)"
        )
    places, asked = config.exit_places, dict[str, Any](config.exit_heads)
    if places != TrainConfig.exits or model_takes(config.model, "exits"):
        asked["exits"] = places
    channels = 1 if config.grey else 3
    return create_model(config.model, len(class_names) or 1, channels, **asked, **arguments)


def _refuse_other_size(got: Tensor, wanted: Tensor, images: Tensor) -> None:
    if got.shape != wanted.shape:
        raise ExeuntError(
            f"regime 'stem': of images of {images.shape[2]}x{images.shape[3]} px the stem makes a "
            f"map {tuple(got.shape[1:])}, and the early part {tuple(wanted.shape[1:])}; choose an "
            "image_size and train_size that its strides divide"
        )


@torch.no_grad()
def fit_last(net: MultiExitNet, original: MultiExitNet, images: Tensor) -> None:
    """Lets the last convolution of a fresh stem begin where least squares put it.

    What the stem has before it, of these images, is mapped to the early part's map with the least
    squared error; the norm behind gets the scale and the means that go with it. So a stem does not
    spend its first epochs on the channels' scale.

    Args:
        net: with the stem.
        original: the network, its early part in the stem's place (`with_early_part`).
        images: (N, C, H, W), of which the norms in the stem take their statistics too.
    """
    stem = early_part(net)
    last = stem.get_submodule("last")
    conv, norm = last.get_submodule("conv"), last.get_submodule("norm")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    read: list[Tensor] = []
    handle = conv.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    training = stem.training
    try:
        stem.train()(images)
    finally:
        handle.remove()
        stem.train(training)
    wanted = early_part(original)(images)
    _refuse_other_size(stem.eval()(images), wanted, images)
    stem.train(training)
    x, y = (part.transpose(0, 1).flatten(1).double() for part in (read[0], wanted))
    x, means = x - x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    gram = x @ x.T
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, x @ (y - means).T).T
    conv.weight.copy_(weights[:, :, None, None])
    norm.weight.copy_((weights @ x).std(1))
    norm.bias.copy_(means[:, 0])


def begin_stem(plan: Plan, net: MultiExitNet) -> str | None:
    """Makes a fresh stem ready, and says what it takes away; nothing for runs of other regimes.

    Args:
        plan: of the run.
        net: with the stem, on the processor.

    Raises:
        ExeuntError: for settings that do not go with it, as `original_of`, and when none of the
            images can be read.
    """
    config = plan.config
    if config.regime != "stem":
        return None
    _refuse(config)
    before = original_of(config, plan.source.class_names)
    note = _costs(config, before, net)
    before = with_early_part(before, ReXStem.of(config.model_args[CHILD]).at).eval()
    _same_exits(net, before)
    samples = plan.splits.train
    some = [samples[k * len(samples) // _FITTED] for k in range(min(_FITTED, len(samples)))]
    fit_last(net, before, _images(plan, some))
    return note


def _images(plan: Plan, samples: Sequence[Sample]) -> Tensor:
    batches = eval_loader(samples, plan.transform, batch_size=len(samples), workers=0)
    return torch.cat([batch.images for batch in batches])


def _costs(config: TrainConfig, before: MultiExitNet, net: MultiExitNet) -> str:
    size = (config.image_size, config.image_size)
    macs, streamed = [], []
    for each in (before, net):
        with evaluating(each):
            macs.append(each.exit_info(size)[-1].macs)
            streamed.append(streamed_memory(build_graph(each, size), "int8").total_bytes)
    return (
        f"{CHILD}={config.model_args[CHILD]!r} at {config.image_size} px: to the last exit "
        f"{macs[1] / 1e6:.1f} M multiply-adds and not {macs[0] / 1e6:.1f} M, in int8, streamed "
        f"row by row, {streamed[1]:,} bytes of RAM and not {streamed[0]:,}"
    )


class _Maps:
    """Keeps what the first map's maker and the exits behind it were given, pass by pass."""

    def __init__(self, net: MultiExitNet) -> None:
        self.net = net
        self._kept: list[Tensor] = []
        early_part(net).register_forward_hook(self._keep_output)
        alone = len([*net.stages[0].get_submodule("trunk").children()]) == 1
        read = [*net.stages][1 if alone else 0 :]  # alone, the first exit reads that very map
        for stage in read:
            stage.get_submodule("exit").register_forward_pre_hook(self._keep_input)
        self.count = 1 + len(read)

    def _keep_output(self, _: nn.Module, inputs: Any, output: Tensor) -> None:
        self._kept = [output]

    def _keep_input(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._kept.append(inputs[0])

    def take(self) -> list[Tensor]:
        """Those of the pass just made."""
        kept, self._kept = self._kept, []
        return kept


def _rounded(values: Sequence[float]) -> list[float | None]:
    return [None if np.isnan(value) else round(value, 6) for value in values]
