"""Record the logits of every exit once, then replay policies over them as often as needed."""

from exeunt.evaluate.compare import compare_criteria
from exeunt.evaluate.exits import ExitRow, exit_rows
from exeunt.evaluate.interval import wilson
from exeunt.evaluate.record import LabelledBatch, record, record_samples, weights_fingerprint
from exeunt.evaluate.record_to import record_to
from exeunt.evaluate.replay import Outcome, replay, sweep
from exeunt.evaluate.table import ExitTable, Task
from exeunt.evaluate.table_file import load_table, save_table
from exeunt.evaluate.usual import default_policies

__all__ = [
    "ExitRow",
    "ExitTable",
    "LabelledBatch",
    "Outcome",
    "Task",
    "compare_criteria",
    "default_policies",
    "exit_rows",
    "load_table",
    "record",
    "record_samples",
    "record_to",
    "replay",
    "save_table",
    "sweep",
    "weights_fingerprint",
    "wilson",
]
