"""From a lowered net to one ONNX file for each stage, in a folder that runs without torch."""

from exeunt.export.onnx.folder import OnnxModel, write_onnx
from exeunt.export.onnx.stages import StageModel, write_stages

__all__ = ["OnnxModel", "StageModel", "write_onnx", "write_stages"]
