"""What is remembered: every run, item, step, request and call, in one file that SQL can ask.

Each process writes what happens to its **journal** (:class:`JournalFile`); whoever reads the **ledger** merges the
journals into it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestration_nb.loading import names_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestration_nb.ledger.earlier import AskedAgain, EarlierCall
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
    "AskedAgain",
    "EarlierCall",
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

_HOME: Final[Mapping[str, str]] = {
    "AskedAgain": "earlier",
    "DAYS": "spend",
    "EarlierCall": "earlier",
    "GROUPINGS": "spend",
    "Group": "metrics",
    "JournalFile": "journal",
    "Ledger": "ledger",
    "METRIC_GROUPINGS": "metrics",
    "MergeReport": "merge",
    "Metrics": "metrics",
    "PipelineDetails": "pipelines",
    "RecordedCall": "recorded",
    "RecordedPrice": "recorded",
    "Repricing": "repricing",
    "RequestTrace": "traces",
    "RunDetails": "runs",
    "Scope": "metrics",
    "Span": "traces",
    "Spend": "spend",
    "Sums": "metrics",
    "Track": "traces",
    "corrections": "repricing",
    "grouping": "spend",
}
"""Where the names come from; loaded when they are asked for, since whoever only writes a journal needs few."""

__getattr__ = names_from(__name__, _HOME)
