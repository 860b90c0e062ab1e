"""Exported networks, held against Python: every exit, on real images."""

from exeunt.verification.c import verify_c
from exeunt.verification.onnx import verify_onnx
from exeunt.verification.verify import verify

__all__ = ["verify", "verify_c", "verify_onnx"]
