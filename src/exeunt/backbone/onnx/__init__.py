"""Networks of convolutions read from ONNX files."""

from __future__ import annotations

from exeunt.backbone.onnx.read import image_shape_of, read_onnx

__all__ = ["image_shape_of", "read_onnx"]
