"""Record the logits of every exit once, then replay policies over them as often as needed."""

from exeunt.evaluate.agreement import agreement
from exeunt.evaluate.baseline import Baseline, baseline
from exeunt.evaluate.compare import compare_criteria
from exeunt.evaluate.confusion import Confusion, confusion
from exeunt.evaluate.default_policies import default_policies
from exeunt.evaluate.difficulty import RatedSample, easiest, hardest
from exeunt.evaluate.exits import ExitRow, exit_rows
from exeunt.evaluate.interval import bootstrap, difference_interval, paired, score_interval, wilson
from exeunt.evaluate.metrics import metrics_of
from exeunt.evaluate.oracle import Oracle, oracle
from exeunt.evaluate.overthinking import Overthinking, overthinking, settling_exits
from exeunt.evaluate.pareto import pareto_outcomes
from exeunt.evaluate.record import LabelledBatch, record, record_samples, weights_fingerprint
from exeunt.evaluate.record_to import record_to
from exeunt.evaluate.reliability import Reliability, reliability
from exeunt.evaluate.replay import Outcome, replay, sweep
from exeunt.evaluate.table import NOT_STATED, ExitTable, Task
from exeunt.evaluate.table_file import load_table, save_table

__all__ = [
    "NOT_STATED",
    "Baseline",
    "Confusion",
    "ExitRow",
    "ExitTable",
    "LabelledBatch",
    "Oracle",
    "Outcome",
    "Overthinking",
    "RatedSample",
    "Reliability",
    "Task",
    "agreement",
    "baseline",
    "bootstrap",
    "compare_criteria",
    "confusion",
    "default_policies",
    "difference_interval",
    "easiest",
    "exit_rows",
    "hardest",
    "load_table",
    "metrics_of",
    "oracle",
    "overthinking",
    "paired",
    "pareto_outcomes",
    "record",
    "record_samples",
    "record_to",
    "reliability",
    "replay",
    "save_table",
    "score_interval",
    "settling_exits",
    "sweep",
    "weights_fingerprint",
    "wilson",
]
