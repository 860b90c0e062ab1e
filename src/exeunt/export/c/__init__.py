"""Networks as C99."""

from exeunt.export.c.boards import BOARDS, can_emulate
from exeunt.export.c.budget import check_budget
from exeunt.export.c.bundle import Bundle
from exeunt.export.c.compare import Comparison, compare
from exeunt.export.c.device import (
    DeviceRun,
    build_fenced,
    count_instructions,
    run_device,
    run_program,
)
from exeunt.export.c.float32 import Float32
from exeunt.export.c.folder import CModel, owned_files, write_c
from exeunt.export.c.host import ExitAnswer, build_host, run_host, run_self_test
from exeunt.export.c.int8 import Int8
from exeunt.export.c.kernel import Kernel
from exeunt.export.c.numbers import Numbers
from exeunt.export.c.prefix import check_prefix, prefix_of
from exeunt.export.c.report import ExportReport
from exeunt.export.c.shape import Shape

__all__ = [
    "BOARDS",
    "Bundle",
    "CModel",
    "Comparison",
    "DeviceRun",
    "ExitAnswer",
    "ExportReport",
    "Float32",
    "Int8",
    "Kernel",
    "Numbers",
    "Shape",
    "build_fenced",
    "build_host",
    "can_emulate",
    "check_budget",
    "check_prefix",
    "compare",
    "count_instructions",
    "owned_files",
    "prefix_of",
    "run_device",
    "run_host",
    "run_program",
    "run_self_test",
    "write_c",
]
