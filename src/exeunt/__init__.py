"""Image classifiers that leave early and fit where memory is scarce.

The names below are found when they are first used, so that `import exeunt` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exeunt.api import load, train
    from exeunt.backbone import attach_exits
    from exeunt.calibrate import (
        budgeted_curves,
        budgeted_policy,
        choose_policy,
        fit_temperatures,
        geometric_policies,
        geometric_policy,
        guaranteed_policy,
        optimised_policies,
        optimised_policy,
    )
    from exeunt.classifier import Classifier
    from exeunt.contract import check_exit_head, check_model
    from exeunt.data import LabelledImages, check_augmentation, register_augmentation
    from exeunt.errors import ExeuntError, ExeuntWarning
    from exeunt.evaluate import (
        ExitTable,
        agreement,
        compare_criteria,
        confusion,
        easiest,
        exit_rows,
        hardest,
        load_table,
        oracle,
        overthinking,
        record,
        record_to,
        reliability,
        replay,
        save_table,
        sweep,
    )
    from exeunt.graph import OwnOperator, check_operator, register_operator
    from exeunt.inference import Prediction, infer
    from exeunt.models import create_model, list_models, load_weights, register_model
    from exeunt.net import MultiExitNet, Stage
    from exeunt.ops.exits import ExitHead, register_exit_head
    from exeunt.ops.rex import ReX2d
    from exeunt.policies import (
        Confidence,
        Consistency,
        Entropy,
        Every,
        Full,
        Margin,
        Policy,
        check_policy,
        parse_policy,
        register_policy,
    )
    from exeunt.predictor import Answer
    from exeunt.rex_stem import replace_stem
    from exeunt.score import Scored, Scorer, score_images
    from exeunt.training import Regime, check_regime, register_regime
    from exeunt.verification import verify

    __version__: str

__all__ = [
    "Answer",
    "Classifier",
    "Confidence",
    "Consistency",
    "Entropy",
    "Every",
    "ExeuntError",
    "ExeuntWarning",
    "ExitHead",
    "ExitTable",
    "Full",
    "LabelledImages",
    "Margin",
    "MultiExitNet",
    "OwnOperator",
    "Policy",
    "Prediction",
    "ReX2d",
    "Regime",
    "Scored",
    "Scorer",
    "Stage",
    "__version__",
    "agreement",
    "attach_exits",
    "budgeted_curves",
    "budgeted_policy",
    "check_augmentation",
    "check_exit_head",
    "check_model",
    "check_operator",
    "check_policy",
    "check_regime",
    "choose_policy",
    "compare_criteria",
    "confusion",
    "create_model",
    "easiest",
    "exit_rows",
    "fit_temperatures",
    "geometric_policies",
    "geometric_policy",
    "guaranteed_policy",
    "hardest",
    "infer",
    "list_models",
    "load",
    "load_table",
    "load_weights",
    "optimised_policies",
    "optimised_policy",
    "oracle",
    "overthinking",
    "parse_policy",
    "record",
    "record_to",
    "register_augmentation",
    "register_exit_head",
    "register_model",
    "register_operator",
    "register_policy",
    "register_regime",
    "reliability",
    "replace_stem",
    "replay",
    "save_table",
    "score_images",
    "sweep",
    "train",
    "verify",
]

_NAMES = {
    "backbone": ("attach_exits",),
    "calibrate": (
        *("budgeted_curves", "budgeted_policy", "choose_policy"),
        *("fit_temperatures", "geometric_policies", "geometric_policy", "guaranteed_policy"),
        *("optimised_policies", "optimised_policy"),
    ),
    "api": ("load", "train"),
    "classifier": ("Classifier",),
    "contract": ("check_exit_head", "check_model"),
    "data": ("LabelledImages", "check_augmentation", "register_augmentation"),
    "errors": ("ExeuntError", "ExeuntWarning"),
    "evaluate": (
        *("ExitTable", "exit_rows", "load_table", "record", "record_to"),
        *("replay", "save_table", "sweep"),
        *("agreement", "compare_criteria", "confusion", "oracle", "overthinking", "reliability"),
        *("easiest", "hardest"),
    ),
    "graph": ("OwnOperator", "check_operator", "register_operator"),
    "inference": ("Prediction", "infer"),
    "models": ("create_model", "list_models", "load_weights", "register_model"),
    "net": ("MultiExitNet", "Stage"),
    "ops.exits": ("ExitHead", "register_exit_head"),
    "ops.rex": ("ReX2d",),
    "predictor": ("Answer",),
    "rex_stem": ("replace_stem",),
    "score": ("Scored", "Scorer", "score_images"),
    "policies": (
        *("Confidence", "Consistency", "Entropy", "Every", "Full", "Margin", "Policy"),
        *("check_policy", "parse_policy", "register_policy"),
    ),
    "training": ("Regime", "check_regime", "register_regime"),
    "verification": ("verify",),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    value: object
    if name == "__version__":
        value = import_module("importlib.metadata").version("exeunt")
    elif name in _HOME:
        value = getattr(import_module(f"exeunt.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'exeunt' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
