"""What is remembered: every run, item, step, request and call, in one file that SQL can ask.

Each process writes what happens to its **journal** (:class:`JournalFile`); whoever reads the **ledger** merges the
journals into it first.
"""

from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.ledger.ledger import Ledger
from orchestration_nb.ledger.merge import MergeReport
from orchestration_nb.ledger.metrics import METRIC_GROUPINGS, Group, Metrics, Scope, Sums
from orchestration_nb.ledger.pipelines import PipelineDetails
from orchestration_nb.ledger.recorded import RecordedCall, RecordedPrice
from orchestration_nb.ledger.repricing import Repricing, corrections
from orchestration_nb.ledger.runs import RunDetails
from orchestration_nb.ledger.spend import DAYS, GROUPINGS, Spend, grouping
from orchestration_nb.ledger.traces import RequestTrace, Span, Track

__all__ = [
    "DAYS",
    "GROUPINGS",
    "METRIC_GROUPINGS",
    "Group",
    "JournalFile",
    "Ledger",
    "MergeReport",
    "Metrics",
    "PipelineDetails",
    "RecordedCall",
    "RecordedPrice",
    "Repricing",
    "RequestTrace",
    "RunDetails",
    "Scope",
    "Span",
    "Spend",
    "Sums",
    "Track",
    "corrections",
    "grouping",
]
