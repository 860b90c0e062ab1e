"""From a lowered net to one ONNX file for each stage, in a folder that runs without torch."""

from exeunt.export.onnx.folder import OnnxModel, owned_files, write_onnx
from exeunt.export.onnx.net import OnnxNet, open_stages
from exeunt.export.onnx.stages import StageModel, write_stages

__all__ = [
    "OnnxModel",
    "OnnxNet",
    "StageModel",
    "open_stages",
    "owned_files",
    "write_onnx",
    "write_stages",
]
