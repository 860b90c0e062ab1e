"""What is to be said of labelled images before anything is done with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exeunt.data.duplicates import describe_duplicates
from exeunt.data.left_out import listed
from exeunt.data.source import Sample


def notes(parts: Mapping[str, Sequence[Sample]], class_names: Sequence[str]) -> list[str]:
    """Lines about classes without images, and about images that are there twice.

    To find the latter, images of equal size are read.

    Args:
        parts: Samples by the names of their splits.
        class_names: By target; empty for regression.
    """
    lines = []
    for split, samples in parts.items():
        met = {sample.target for sample in samples}
        if absent := [name for target, name in enumerate(class_names) if target not in met]:
            lines.append(f"{split}: no images of {listed(absent)}")
    if said := describe_duplicates(parts, class_names):
        lines.append(said)
    return lines
