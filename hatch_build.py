"""Compiles the kernels in C into the wheel. Without a compiler the wheel is one of Python alone."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeKernels(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        sys.path.insert(0, str(Path(self.root, "src")))
        from exeunt.native.build import LIBRARY, BuildError, build, seal

        if os.environ.get("EXEUNT_NATIVE") == "0":
            return
        try:
            build()
        except BuildError as error:
            self.app.display_warning(f"exeunt without its native kernels, slower: {error}")
            return
        system = sysconfig.get_platform().replace("universal2", platform.machine())
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{system.replace('-', '_').replace('.', '_')}"
        for file in (LIBRARY, seal(LIBRARY)):
            build_data["artifacts"].append(f"/{file.relative_to(self.root).as_posix()}")
