"""Who does the work on blocks: this machine, or a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any, Protocol

from exeunt.errors import ExeuntError, one_of

Work = Callable[[Any], Any]
"""From a block to what it gives. It can be sent to other processes, and so can both of them."""


class Engine(Protocol):
    """A function that does `work` on blocks, each once if all goes well, in any order."""

    def __call__(
        self, work: Work, blocks: Sequence[Any], workers: int | None, address: str | None
    ) -> Iterator[tuple[int, Any]]:
        """Gives the position of a block and what the work made of it, as soon as it is done.

        Args:
            work: done in the processes of the engine, as often as need be: again, where one dies.
            blocks: all of them.
            workers: processes; None for as many as the engine has cores.
            address: of the cluster, if the engine has one.

        Raises:
            ExeuntError: what the work raised; or the engine is not there, or its processes die.
        """


ENGINES: dict[str, str] = {
    "local": "exeunt.score.local:run_local",
    "ray": "exeunt.score.ray:run_ray",
}
"""By name, where the function is: module and name."""


def engine_named(name: str, address: str | None = None) -> Engine:
    """The engine of that name.

    Raises:
        ExeuntError: when there is none, or it has no address and one is given.
    """
    if name == "local" and address is not None:
        raise ExeuntError(f"--address {address} is for --engine ray")
    if name not in ENGINES:
        raise ExeuntError(f"engine {name!r}: {one_of(name, ENGINES)}")
    module, _, function = ENGINES[name].partition(":")
    engine: Engine = getattr(import_module(module), function)
    return engine
