"""Writes the CSV files of this folder: always the same bytes, from seeds and the standard library alone.

python data/build.py [FOLDER]
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that `data.builders` is found when this file is run as a script

from data.builders.pairs import pair_rows  # noqa: E402
from data.builders.questions import questions  # noqa: E402
from data.builders.shop import customers, order_rows, orders  # noqa: E402
from data.builders.tickets import ticket_rows  # noqa: E402


def _write(path: Path, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def build(folder: Path) -> None:
    """Write every file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    bank, workings = questions()
    people = customers()
    all_orders = orders(people)
    _write(folder / "questions.csv", bank)
    _write(folder / "workings.csv", workings)
    _write(folder / "orders.csv", order_rows(all_orders))
    _write(folder / "tickets.csv", ticket_rows(people, all_orders))
    _write(folder / "question_pairs.csv", pair_rows())


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
