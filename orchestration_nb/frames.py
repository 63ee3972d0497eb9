"""A table in, items out; an outcome in, a table out. pandas is loaded here, when it is first needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Self

from orchestration_nb.engine.outcome import Outcome
from orchestration_nb.errors import StepError, UsageError

if TYPE_CHECKING:
    import pandas as pd

RESULT_COLUMNS = ("_status", "_error", "_cost_usd", "_latency_ms")
"""What a results table has beside the columns of the input and the steps."""
SCORE_COLUMN = "_score"
"""The score of each item; where several steps are scored, the names of their columns begin so."""

EXACT = 2**53
"""Whole numbers up to this are exact as floats."""


class Missing(float):
    """A missing value of a column: a NaN that refuses to become text of a prompt."""

    column: str

    def __new__(cls, column: str) -> Self:
        """A NaN that knows the name of its column."""
        value = super().__new__(cls, "nan")
        value.column = column
        return value

    def _refuse(self) -> NoReturn:
        raise StepError(
            f"The column {self.column!r} has no value in this row, and a prompt cannot say NaN.",
            hint=f"Fill it first, e.g. frame[{self.column!r}].fillna(''), or write "
            f"{{{self.column} if {self.column} == {self.column} else ''}}.",
        )

    def __str__(self) -> str:  # noqa: PLE0307 - it never returns
        self._refuse()

    def __format__(self, spec: str) -> str:
        self._refuse()


class Binary(bytes):
    """Bytes of a column, which refuse to become text of a prompt."""

    column: str

    def _refuse(self) -> NoReturn:
        raise StepError(
            f"The column {self.column!r} holds bytes, and a prompt is text.",
            hint=f"Decode it first, e.g. frame[{self.column!r}].str.decode('utf-8').",
        )

    def __str__(self) -> str:  # noqa: PLE0307 - it never returns
        self._refuse()

    def __format__(self, spec: str) -> str:
        self._refuse()


@dataclass(frozen=True, slots=True)
class Table:
    """The input of a run."""

    frame: pd.DataFrame
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)

    def items(self) -> Iterator[Mapping[str, Any]]:
        """The rows as dictionaries, one at a time."""
        import pandas as pd  # noqa: PLC0415

        names, missing = self.columns, (pd.NA, pd.NaT)
        absent = {name: Missing(name) for name in names}
        for row in self.frame.itertuples(index=False, name=None):
            item = dict(zip(names, row, strict=True))
            for name, value in item.items():
                kind = type(value)
                if (isinstance(value, float) and value != value) or value is missing[0] or value is missing[1]:  # noqa: PLR0124
                    item[name] = absent[name]
                elif kind is bytes:
                    item[name] = Binary(value)
                    item[name].column = name
            yield item

    def sampled(self, size: int, seed: int) -> Table:
        """``size`` rows drawn with ``seed``, in their old order; the whole table where it is no larger."""
        if size >= len(self):
            return self
        drawn = self.frame.reset_index(drop=True).sample(n=size, random_state=seed).sort_index()
        return Table(self.frame.iloc[drawn.index], self.columns)


def table_of(over: Any) -> Table:
    """The table behind what was given with ``--over``: a DataFrame, a list of dictionaries, or what can become one.

    Raises:
        UsageError: If it is no table, is empty, or has two columns of one name.
    """
    import pandas as pd  # noqa: PLC0415

    if isinstance(over, Table):
        return over
    frame = _frame_of(over, pd)
    if frame is None:
        raise UsageError(
            f"A run goes over a DataFrame or a list of dictionaries, not {type(over).__name__}.",
            hint="For one item, write pd.DataFrame([{...}]); without a table, leave --over away.",
        )
    if not len(frame):
        raise UsageError("The table has no rows, so there is nothing to run.", hint="Look at its filter or its source.")
    columns = tuple(str(column) for column in frame.columns)
    doubled = sorted({name for name in columns if columns.count(name) > 1})
    if doubled:
        raise UsageError(f"The table has two columns called {doubled[0]!r}.", hint="Rename one of them.")
    # Of its own, so that a column added to the user's frame afterwards does not turn up in the results.
    return Table(frame.copy(deep=False), columns)


def _frame_of(over: Any, pd: Any) -> pd.DataFrame | None:
    if isinstance(over, pd.DataFrame):
        return over  # type: ignore[no-any-return]
    if isinstance(over, pd.Series):
        return over.to_frame(over.name if over.name is not None else "value")  # type: ignore[no-any-return]
    if isinstance(over, Sequence) and not isinstance(over, str | bytes):
        rows_are_items = all(isinstance(row, Mapping) for row in over)
        return pd.DataFrame(list(over), dtype=object) if rows_are_items else None
    for convert in ("to_pandas", "to_df", "df"):  # polars and pyarrow; duckdb
        if callable(getattr(over, convert, None)):
            frame = getattr(over, convert)()
            return frame if isinstance(frame, pd.DataFrame) else None
    return None


def results_of(
    table: Table | None, outcome: Outcome, unfinished: str, scores: Mapping[str, list[Any]] | None = None
) -> pd.DataFrame:
    """The results table: input columns, steps, scores, then status, error, cost (USD) and latency (ms).

    Args:
        table: The input, or ``None`` for a run without one.
        outcome: What the run brought.
        unfinished: The status to show for items that were not begun.
        scores: Further columns: the score of each item.
    """
    import pandas as pd  # noqa: PLC0415

    size = len(table) if table is not None else max(1, len(outcome.status))
    outcome.fill_up(size)
    if table is None:
        frame = pd.DataFrame(index=range(size))
    else:
        frame = table.frame.drop(columns=[name for name in table.frame.columns if _is_result(str(name))])
    added = {name: _column(column.values, frame.index, pd) for name, column in outcome.steps.items()}
    for name, values in (scores or {}).items():
        added[name] = pd.Series(values, index=frame.index, dtype=None if any(map(_is_text, values)) else float)
    added["_status"] = pd.Series([status or unfinished for status in outcome.status], index=frame.index)
    added["_error"] = pd.Series(outcome.error, index=frame.index, dtype=object)
    added["_cost_usd"] = pd.Series(outcome.cost_usd, index=frame.index, dtype=float)
    added["_latency_ms"] = pd.Series(outcome.latency_ms, index=frame.index, dtype=float)
    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1)


def _is_result(column: str) -> bool:
    return column in RESULT_COLUMNS or column == SCORE_COLUMN or column.startswith(f"{SCORE_COLUMN}_")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _column(values: list[Any], index: Any, pd: Any) -> Any:
    """A step's values as a column; whole numbers too large for a float stay what they are beside missing ones."""
    column = pd.Series(values, index=index)
    if column.dtype.kind == "f" and any(type(value) is int and abs(value) > EXACT for value in values):
        return pd.Series(values, index=index, dtype=object)
    return column
