"""Regimes by name, for settings to be held against before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exeunt.registry import Registry

REGIMES: Registry[Callable[..., Any]] = Registry("regime")
"""See `exeunt.training.regimes.register_regime`."""
