"""Exported networks, held against Python: every exit, on real images."""

from exeunt.verification.c import verify_c
from exeunt.verification.folder import verify
from exeunt.verification.onnx import verify_onnx

__all__ = ["verify", "verify_c", "verify_onnx"]
