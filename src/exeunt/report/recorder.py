"""What is measured: the logits of a split, recorded now or before, and what is known of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from exeunt.data import MAX_UNREADABLE_FRACTION, Data, fingerprint
from exeunt.errors import ExeuntError
from exeunt.evaluate import ExitTable, baseline, load_table
from exeunt.evaluate.splits import open_labelled, record_split, select_samples
from exeunt.evaluate.table_file import SUFFIX
from exeunt.report.sections.section import Row
from exeunt.trained import TrainedModel


class Recorder:
    """Runs a network on splits of labelled images.

    Args:
        name: of the network.
        trained: the network.
        data: laid out as for training.
        limit: at most so many images of a split, seeded and stratified.
        allow_unreadable: share of the images that may be.
        batch_size: images that go through the net at once.
        workers: processes that load images.

    Raises:
        ExeuntError: when the images are not there, or of other classes.
    """

    def __init__(
        self,
        name: str,
        trained: TrainedModel,
        data: Data,
        *,
        limit: int | None = None,
        allow_unreadable: float = MAX_UNREADABLE_FRACTION,
        batch_size: int = 64,
        workers: int = 0,
    ) -> None:
        self.name, self.trained, self.data, self.limit = name, trained, data, limit
        self.settings: dict[str, Any] = {
            "batch_size": batch_size,
            "workers": workers,
            "allow_unreadable": allow_unreadable,
        }
        self.source = open_labelled(trained, data)
        self.fingerprint = fingerprint(self.source.samples)

    def record(self, split: str) -> tuple[Row, ExitTable]:
        """What was run on what, and the logits."""
        trained = self.trained
        samples = select_samples(trained, self.source, split, self.limit)
        table = record_split(trained, samples, split, **self.settings)
        run = {
            "model": self.name,
            "data": str(self.data),
            "split": str(split),
            "samples": len(table),
            "transform": trained.transform.to_dict(),
            "data_fingerprint": self.fingerprint,
            "trained_on_fingerprint": trained.info.data.get("fingerprint") or None,
            "weights_fingerprint": table.weights_fingerprint,
            "stored_policy": trained.policy(None).spec,
            "baseline": asdict(baseline(table)),
        }
        return run, table


def open_recording(file: str) -> tuple[Row, ExitTable]:
    """What was recorded before, and the logits. Nothing is known of the images but their split.

    Raises:
        ExeuntError: when it is no recording.
    """
    if not file.endswith(SUFFIX):
        raise ExeuntError(
            f"{file}: give DATA, labelled images to run it on; only a file of `exeunt record` "
            f"({SUFFIX}) is evaluated without"
        )
    table = load_table(file)
    return recording(table, file), table


def recording(table: ExitTable, name: str, stored_policy: str | None = None) -> Row:
    """What is known of a table whose images are not here."""
    return {
        "model": name,
        "data": name,
        "split": table.split,
        "samples": len(table),
        "data_fingerprint": table.data_fingerprint,
        "weights_fingerprint": table.weights_fingerprint,
        "stored_policy": stored_policy,
        "baseline": asdict(baseline(table)),
    }
