"""Choosing when to leave, on samples that nothing was trained or tested on."""

from exeunt.calibrate.choice import choose_policy

__all__ = ["choose_policy"]
