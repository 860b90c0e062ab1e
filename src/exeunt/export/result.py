"""What an export wrote."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Export:
    """A folder of C or of ONNX files, or a page.

    Attributes:
        folder: where it is; of a page, the file.
        dtype: of its numbers, `int8` or `float32`.
        policy: spec of the policy that it leaves by.
        document: its `report.json` (C) or `manifest.json` (ONNX); of a page, the report of its C,
            with `page_bytes` and `wasm_bytes`.
    """

    folder: Path
    dtype: str
    policy: str
    document: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, folder: Path, document: dict[str, Any]) -> Export:
        """What was written, from its document."""
        return cls(folder, document["dtype"], document["policy"], document)

    def to_dict(self) -> dict[str, Any]:
        """The document."""
        return dict(self.document)
