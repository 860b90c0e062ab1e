"""Networks as C99."""

from exeunt.export.c.bundle import Bundle
from exeunt.export.c.compare import Comparison, compare
from exeunt.export.c.device import BOARDS, DeviceRun, run_device
from exeunt.export.c.folder import CModel, write_c
from exeunt.export.c.host import Answer, build_host, run_host
from exeunt.export.c.report import ExportReport

__all__ = [
    "BOARDS",
    "Answer",
    "Bundle",
    "CModel",
    "Comparison",
    "DeviceRun",
    "ExportReport",
    "build_host",
    "compare",
    "run_device",
    "run_host",
    "write_c",
]
