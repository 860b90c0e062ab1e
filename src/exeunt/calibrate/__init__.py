"""Choosing when to leave, on samples that nothing was trained or tested on."""

from exeunt.calibrate.choice import choose_policy
from exeunt.calibrate.geometric import RATIOS, geometric_policies, geometric_policy

__all__ = ["RATIOS", "choose_policy", "geometric_policies", "geometric_policy"]
