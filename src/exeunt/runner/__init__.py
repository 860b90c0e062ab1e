"""Runs an exported folder, one ONNX file for each stage, stopping early.

Needs onnxruntime (or OpenVINO), NumPy and Pillow, neither torch nor the rest of exeunt: these
modules, joined to one file, lie in the folder as `run.py`, where `python run.py IMAGE...` prints
one JSON object for each image.

    model = StagedModel("folder")
    taken = model.predict([model.load("photo.jpg")])  # taken.class_index, taken.exit_index
"""

from exeunt.runner.chain import Chain, Stage, State
from exeunt.runner.engine import ENGINES, OnnxRuntime, OpenVino, Session
from exeunt.runner.error import RunnerError
from exeunt.runner.manifest import FORMAT, MANIFEST, digest, read_manifest, seal
from exeunt.runner.model import Prediction, StagedModel
from exeunt.runner.policy import Policy
from exeunt.runner.preprocessing import Preprocessing

__all__ = [
    "ENGINES",
    "FORMAT",
    "MANIFEST",
    "Chain",
    "OnnxRuntime",
    "OpenVino",
    "Policy",
    "Prediction",
    "Preprocessing",
    "RunnerError",
    "Session",
    "Stage",
    "StagedModel",
    "State",
    "digest",
    "read_manifest",
    "seal",
]
