"""What nothing may be chosen on."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from exeunt.data import Sample, content_hash
from exeunt.errors import ExeuntError, ExeuntWarning
from exeunt.evaluate import NOT_STATED, ExitTable

_TOLERATED = 0.01  # of the images: data sets of any size hold a few duplicates


def refuse_test(table: ExitTable) -> None:
    """Refuses tables that hold test images; figures of what was chosen on them would be no test.
    Warns of those that do not say what they hold.

    Raises:
        ExeuntError: Saying what to record instead.
    """
    if table.split == NOT_STATED:
        warnings.warn(
            "the table does not say which split it is of; what is chosen on it holds if its samples"
            ' were neither trained nor are tested on. Say split="calibration" if that is so',
            ExeuntWarning,
            stacklevel=2,
        )
    if table.split in ("test", "all"):
        raise ExeuntError(
            "policies are never chosen on the test split"
            f"{', which is in all' if table.split == 'all' else ''}; "
            "record the calibration split for that"
        )


def refuse_tested(calibration: Sequence[Sample], test: Sequence[Sample]) -> None:
    """Refuses to calibrate on images that are in the test split too, byte for byte.

    Images of equal size are read, the others cannot be the same. One in a hundred is let pass.

    Raises:
        ExeuntError: More of them are; naming the first.
    """
    sizes = {sample.place.size_bytes for sample in calibration}
    hashes = {content_hash(s.place): s for s in test if s.place.size_bytes in sizes}
    if not hashes:
        return
    sizes = {sample.place.size_bytes for sample in hashes.values()}
    shared = [
        (sample, hashes[found])
        for sample in calibration
        if sample.place.size_bytes in sizes and (found := content_hash(sample.place)) in hashes
    ]
    if len(shared) > _TOLERATED * len(calibration):
        one, other = shared[0]
        raise ExeuntError(
            f"{len(shared)} of {len(calibration)} images to calibrate on are in the test split "
            f"too ({one.name} is {other.name}), and nothing may be chosen on those; take them out "
            "of one of the two"
        )


def refuse_trained(calibration: Sequence[Sample], held_out: Collection[str]) -> int:
    """Refuses images of which some were held out for calibration in training, and others not.

    Data that mix the two are those of the training, cut in another way: the others were trained
    or tested on. Where none was held out, nothing is known of them.

    Args:
        calibration: The images.
        held_out: Hashes of those that were, as weights carry them; empty if they carry none.

    Returns:
        How many of the images were held out.

    Raises:
        ExeuntError: Saying what to give instead.
    """
    if not held_out:
        return 0
    known = sum(content_hash(sample.place) in held_out for sample in calibration)
    if _TOLERATED * len(calibration) < known < (1 - _TOLERATED) * len(calibration):
        raise ExeuntError(
            f"{known} of {len(calibration)} images to calibrate on were held out when the weights "
            "were trained; the others come from their train or test split. Give the data as they "
            "were in training, or images that the weights have never met"
        )
    return known
