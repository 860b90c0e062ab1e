"""What nothing may be chosen on."""

from __future__ import annotations

from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable


def refuse_test(table: ExitTable) -> None:
    """Refuses tables that hold test images; figures of what was chosen on them would be no test.

    Raises:
        ExeuntError: Saying what to record instead.
    """
    if table.split in ("test", "all"):
        raise ExeuntError(
            "policies are never chosen on the test split"
            f"{', which is in all' if table.split == 'all' else ''}; "
            "record the calibration split for that"
        )
