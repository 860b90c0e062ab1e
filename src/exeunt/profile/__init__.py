"""What a network costs: multiply-adds, bytes by convention, milliseconds, at every exit."""

from exeunt.profile.counts import Counts, OperatorCost
from exeunt.profile.dial import DialPoint, dial_points
from exeunt.profile.latency import WARM_UP, Engine, Latency, measure_latency
from exeunt.profile.memory import (
    ELEMENT_BYTES,
    Cut,
    Memory,
    Peak,
    Span,
    short_path,
    spell_bytes,
)
from exeunt.profile.network import costs_of, shares_of
from exeunt.profile.planned import spans_of
from exeunt.profile.profile import CONVENTIONS, Profile, Shares, profile

__all__ = [
    "CONVENTIONS",
    "ELEMENT_BYTES",
    "WARM_UP",
    "Counts",
    "Cut",
    "DialPoint",
    "Engine",
    "Latency",
    "Memory",
    "OperatorCost",
    "Peak",
    "Profile",
    "Shares",
    "Span",
    "costs_of",
    "dial_points",
    "measure_latency",
    "profile",
    "shares_of",
    "short_path",
    "spans_of",
    "spell_bytes",
]
