"""Files of recorded exits: one safetensors file, opened by mapping it into memory.

It holds `logits` (E N K) and `targets` (N) as tensors, and everything else that an `ExitTable`
knows as one JSON object under the metadata key `exits`: a closed schema, the table's own fields.
Any reader of safetensors can use it.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, get_type_hints

from safetensors import SafetensorError, safe_open
from torch import Tensor

from exeunt.errors import ExeuntError, expect
from exeunt.evaluate.table import ExitTable
from exeunt.files import replacing
from exeunt.runner.document import parse_json
from exeunt.runner.schema import validated_keys

FORMAT = 1
SUFFIX = ".exits"

_TENSORS = ("targets", "logits")  # as they lie in the file; 8 bytes wide before 2
_DESCRIBED = tuple(f.name for f in fields(ExitTable) if f.init and f.name not in _TENSORS)
_TYPE_NAMES = {"float16": "F16", "float32": "F32", "int64": "I64"}
_MOST_HEADER_BYTES = 100_000_000  # that readers of safetensors accept
_BLOCK_BYTES = 2**23


def save_table(path: str | Path, table: ExitTable) -> None:
    """Writes a table, whole or not at all; equal tables give equal bytes.

    Logits go through memory in blocks of a few MiB, so a table that is itself a view of a file may
    be larger than memory. Folders that are missing are made.

    Raises:
        ExeuntError: The names are too many for one file (about 100 MB of them), or the arguments
            are of other types.
        OSError: The file cannot be written; what stood there is untouched.
    """
    expect("save_table(path, table)", "path", path, str, Path)
    expect("save_table(path, table)", "table", table, ExitTable)
    path = Path(path)
    header = _header(path, table)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        file.write(table.targets.numpy().data)
        _write_logits(file, table.logits)


def load_table(path: str | Path) -> ExitTable:
    """Opens a table without reading its logits: they are mapped, and read where they are used.

    Raises:
        ExeuntError: There is no such file, it is cut short, or it holds anything but a table.
    """
    path = Path(path)
    if not path.is_file():
        raise ExeuntError(f"{path}: no such file of recorded exits")
    try:
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {}).get("exits")
            names = sorted(file.keys())
            if described is None or names != sorted(_TENSORS):
                raise ExeuntError(
                    f"{path}: no recorded exits, but {', '.join(names[:4]) or 'nothing'}"
                    f"{', ...' if len(names) > 4 else ''}; `exeunt record` writes such files"
                )
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except (SafetensorError, OSError) as error:
        raise ExeuntError(f"{path}: damaged, or no file of recorded exits ({error})") from error
    try:
        return ExitTable(**tensors, **_read_description(described))
    except (ExeuntError, ValueError) as error:
        raise ExeuntError(f"{path}: not a table of exits: {error}") from error


def _write_logits(file: BinaryIO, logits: Tensor) -> None:
    """Writes (E N K), all exits of some samples at a time, which may lie together at the source."""
    start = file.tell()
    _, samples, outputs = logits.shape
    row_bytes = outputs * logits.element_size()
    step = max(1, _BLOCK_BYTES // (len(logits) * row_bytes))
    for first in range(0, samples, step):
        for k, part in enumerate(logits[:, first : first + step].contiguous()):
            file.seek(start + (k * samples + first) * row_bytes)
            file.write(part.numpy().data)


def _header(path: Path, table: ExitTable) -> bytes:
    """The JSON header of a safetensors file, padded so that the tensors are aligned."""
    values = {name: getattr(table, name) for name in _DESCRIBED}
    described = json.dumps({"format": FORMAT, **values}, sort_keys=True)
    header: dict[str, Any] = {"__metadata__": {"exits": described}}
    end = 0
    for name in _TENSORS:
        tensor: Tensor = getattr(table, name)
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _TYPE_NAMES[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    if len(text) > _MOST_HEADER_BYTES - 8:
        raise ExeuntError(
            f"{path}: {len(table)} names take {len(text):,} bytes, more than the "
            f"{_MOST_HEADER_BYTES:,} that a safetensors header may have; record fewer samples"
        )
    return text + b" " * (-len(text) % 8)


def _read_description(text: str) -> dict[str, Any]:
    """What `_header` wrote, with lists as the tuples that they were.

    Raises:
        ValueError: It has another format, a key is missing or unknown, or a value is of another
            type.
    """
    values = parse_json(text)
    if not isinstance(values, dict):
        raise ValueError("its description is no JSON object")
    form = values.pop("format", None)
    if form != FORMAT:
        raise ValueError(f"format {form!r}; this exeunt reads {FORMAT}")
    hints = get_type_hints(ExitTable)
    return validated_keys(values, {name: hints[name] for name in _DESCRIBED})
