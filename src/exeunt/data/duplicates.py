"""The same image more than once, where that does harm: in two splits, or under two labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import combinations

from exeunt.data.source import Sample, content_hash
from exeunt.errors import ExeuntError

MOST_BYTES = 4 << 30
"""What is read at most to find them; only images of equal size are."""


def duplicates(
    samples: Iterable[Sample], most_bytes: int = MOST_BYTES
) -> list[list[Sample]] | None:
    """Groups of samples whose stored bytes are the same, in the order of the first of each.

    Images that cannot be read are in no group; that is said where they are decoded.

    Returns:
        The groups; None if more than `most_bytes` would have to be read to find them.
    """
    by_size: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_size[sample.place.size_bytes].append(sample)
    alike = {size: group for size, group in by_size.items() if len(group) > 1 and size}
    if sum(size * len(group) for size, group in alike.items()) > most_bytes:
        return None
    by_content: dict[tuple[int, str], list[Sample]] = defaultdict(list)
    for size, group in alike.items():
        for sample in group:
            with suppress(OSError, ExeuntError):
                by_content[size, content_hash(sample.place)].append(sample)
    return [group for group in by_content.values() if len(group) > 1]


def describe_duplicates(parts: Mapping[str, Sequence[Sample]], class_names: Sequence[str]) -> str:
    """A line about images in two splits, and under two labels; empty if there are none.

    Args:
        parts: Samples by the names of their splits.
        class_names: By target; empty for regression, where an image may have two values.
    """
    split_of = {sample.name: split for split, samples in parts.items() for sample in samples}
    groups = duplicates(sample for samples in parts.values() for sample in samples)
    if groups is None:
        return f"identical images were not looked for: more than {MOST_BYTES >> 30} GiB to read"
    between: dict[tuple[str, str], list[list[Sample]]] = defaultdict(list)
    mislabelled = []
    for group in groups:
        splits = {split_of[sample.name]: sample for sample in group}
        for pair in combinations((split for split in parts if split in splits), 2):
            between[pair].append([splits[split] for split in pair])
        labels = {sample.target: sample for sample in group}
        if class_names and len(labels) > 1:
            mislabelled.append(list(labels.values()))
    said = [_counted(found, f"both in {one} and {two}") for (one, two), found in between.items()]
    if mislabelled:
        said.append(_counted(mislabelled, "under two labels"))
    return f"identical images: {'; '.join(said)}" if said else ""


def _counted(found: Sequence[Sequence[Sample]], where: str) -> str:
    one, other = found[0][:2]
    more = ", ..." if len(found) > 1 else ""
    return f"{len(found)} {where} ({one.name} is {other.name}{more})"
