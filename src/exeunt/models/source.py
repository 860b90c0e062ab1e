"""Where networks come from that are not registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exeunt.models.pretrained import Input
from exeunt.net import MultiExitNet


@dataclass(frozen=True)
class Source:
    """Networks whose names begin in one way.

    Attributes:
        prefix: that they begin with.
        build: one, as builders do, from what follows the prefix.
        input: what the weights of one were trained on, likewise.
        asked: whether a network's arguments ask for weights of the source.
    """

    prefix: str
    build: Callable[..., MultiExitNet]
    input: Callable[[str], Input]
    asked: Callable[[Mapping[str, Any]], bool]
