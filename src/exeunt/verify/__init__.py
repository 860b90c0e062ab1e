"""Exported networks, held against Python: every exit, on real images."""

from exeunt.verify.c import verify_c
from exeunt.verify.onnx import verify_onnx

__all__ = ["verify_c", "verify_onnx"]
