"""Choosing when to leave, on samples that nothing was trained or tested on."""

from exeunt.calibrate.budget import budgeted_policy
from exeunt.calibrate.choice import choose_policy
from exeunt.calibrate.curve import Curve, CurvePoint, budgeted_curves
from exeunt.calibrate.geometric import RATIOS, geometric_policies, geometric_policy
from exeunt.calibrate.optimiser import optimised_policies, optimised_policy

__all__ = [
    "RATIOS",
    "Curve",
    "CurvePoint",
    "budgeted_curves",
    "budgeted_policy",
    "choose_policy",
    "geometric_policies",
    "geometric_policy",
    "optimised_policies",
    "optimised_policy",
]
