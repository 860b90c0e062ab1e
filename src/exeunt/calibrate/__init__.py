"""Choosing when to leave, on samples that nothing was trained or tested on."""

from exeunt.calibrate.budget import budgeted_policy
from exeunt.calibrate.calibration import (
    Calibration,
    calibrate,
    calibrate_table,
    with_policy,
)
from exeunt.calibrate.choice import Choice, choose_policy
from exeunt.calibrate.criteria import CRITERIA, Criterion
from exeunt.calibrate.curve import Curve, CurvePoint, budgeted_curves
from exeunt.calibrate.geometric import RATIOS, geometric_policies, geometric_policy
from exeunt.calibrate.goal import Goal
from exeunt.calibrate.match import match_policy
from exeunt.calibrate.optimiser import optimised_policies, optimised_policy
from exeunt.calibrate.risk import Guarantee, guaranteed_policy
from exeunt.calibrate.temperature import fit_temperatures

__all__ = [
    "CRITERIA",
    "RATIOS",
    "Calibration",
    "Choice",
    "Criterion",
    "Curve",
    "CurvePoint",
    "Goal",
    "Guarantee",
    "budgeted_curves",
    "budgeted_policy",
    "calibrate",
    "calibrate_table",
    "choose_policy",
    "fit_temperatures",
    "geometric_policies",
    "geometric_policy",
    "guaranteed_policy",
    "match_policy",
    "optimised_policies",
    "optimised_policy",
    "with_policy",
]
