"""What is remembered: every run, item, step, request and call, in one file that SQL can ask.

Each process writes what happens to its **journal** (:class:`JournalFile`); whoever reads the **ledger** merges the
journals into it first.
"""

from orchestration_nb.ledger.journal import JournalFile
from orchestration_nb.ledger.ledger import Ledger
from orchestration_nb.ledger.merge import MergeReport
from orchestration_nb.ledger.recorded import RecordedCall, RecordedPrice
from orchestration_nb.ledger.runs import RunDetails

__all__ = ["JournalFile", "Ledger", "MergeReport", "RecordedCall", "RecordedPrice", "RunDetails"]
