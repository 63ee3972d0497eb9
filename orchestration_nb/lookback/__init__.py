"""Earlier headless runs of notebooks, looked back on: the list of them, and two of them side by side."""

from orchestration_nb.lookback.diff import CellChange, Change, PairedDifference, PipelineDiff, diff

__all__ = ["CellChange", "Change", "PairedDifference", "PipelineDiff", "diff"]
