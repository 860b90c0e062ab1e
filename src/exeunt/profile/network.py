"""What a network costs, and where the images of a recording leave it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exeunt.errors import ExeuntError
from exeunt.evaluate import NOT_STATED, load_table, replay, weights_fingerprint
from exeunt.net import MultiExitNet
from exeunt.policies import parse_policy
from exeunt.profile.profile import Profile, Shares, profile
from exeunt.progress import Bar, OnProgress
from exeunt.trained import Network


def costs_of(
    name: str,
    net: MultiExitNet,
    image_size: tuple[int, int],
    conventions: Sequence[str],
    dtypes: Sequence[str],
    on_progress: OnProgress | None = None,
) -> Profile:
    """As `profile`, with a bar on a terminal."""
    with Bar(name, 1 + len(conventions) * len(dtypes), on_progress) as bar:

        def show(part: str) -> None:
            bar.say(f"{name}: {part}")
            bar.advance()

        return profile(
            net, image_size, name=name, conventions=conventions, dtypes=dtypes, on_part=show
        )


def shares_of(network: Network, model: str, file: Path, spec: str | None) -> Shares:
    """Where a recording's images leave.

    Args:
        network: that was recorded.
        model: its name.
        file: the recording.
        spec: of the policy; None for the one stored with the weights.

    Raises:
        ExeuntError: when it is of another network, or there is no policy.
    """
    table = load_table(file)
    fingerprint = table.weights_fingerprint
    if network.info is not None and fingerprint not in (
        NOT_STATED,
        weights_fingerprint(network.net),
    ):
        raise ExeuntError(f"{file} is a recording of other weights than those of {model}")
    if spec is None:
        if network.info is None:
            raise ExeuntError(f"{model} has no weights, so no policy either; give --policy")
        spec = network.info.policy
    if table.num_exits != network.net.num_exits:
        raise ExeuntError(
            f"{file} has {table.num_exits} exits, {model} has {network.net.num_exits}"
        )
    outcome = replay(table, parse_policy(spec))
    return Shares(spec, len(table), outcome.exit_shares)
