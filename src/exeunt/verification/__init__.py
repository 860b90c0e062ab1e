"""Exported networks, held against Python: every exit, on real images."""

from exeunt.verification.c import verify_c
from exeunt.verification.folder import verify
from exeunt.verification.onnx import verify_onnx
from exeunt.verification.result import CVerification, OnnxVerification, Verification

__all__ = [
    "CVerification",
    "OnnxVerification",
    "Verification",
    "verify",
    "verify_c",
    "verify_onnx",
]
