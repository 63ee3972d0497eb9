"""What is remembered: every run, item, step, request and call, in one file that SQL can ask.

Each process writes what happens to its **journal** (:class:`JournalFile`); whoever reads the **ledger** merges the
journals into it first.
"""

from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.ledger.ledger import Ledger
from orchestration_nb.ledger.merge import MergeReport
from orchestration_nb.ledger.recorded import RecordedCall, RecordedPrice
from orchestration_nb.ledger.repricing import Repricing, corrections
from orchestration_nb.ledger.runs import RunDetails
from orchestration_nb.ledger.spend import DAYS, GROUPINGS, Spend, grouping

__all__ = [
    "DAYS",
    "GROUPINGS",
    "JournalFile",
    "Ledger",
    "MergeReport",
    "RecordedCall",
    "RecordedPrice",
    "Repricing",
    "RunDetails",
    "Spend",
    "corrections",
    "grouping",
]
