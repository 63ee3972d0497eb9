"""A comparison as figure, table, sentences, items and page: what stands there, and what its data cannot do."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from orchestration_nb.calls import Ask, Reply, Request
from orchestration_nb.comparing.compare import compare
from orchestration_nb.comparing.comparison import Comparison
from orchestration_nb.comparing.standing import Standing, standing_of
from orchestration_nb.errors import UsageError
from orchestration_nb.flows import Flow
from orchestration_nb.notebook.compare_figure import KINDS, compare_figure, traces
from orchestration_nb.notebook.compare_items import item_detail, item_rows
from orchestration_nb.notebook.compare_page import page_of, write_page
from orchestration_nb.notebook.compare_table import compare_card, compare_text
from orchestration_nb.notebook.compare_words import COLUMNS, cells
from orchestration_nb.testing import FakeProvider, fake_workspace
from tests.notebook.hostile import PAYLOADS

ITEMS = 48
HOSTILE = "<img src=x onerror=alert(1)>$x$</script>"


async def careful(request: Request, ask: Ask) -> Reply:
    reply = await ask("fast")
    request.decision.reason = HOSTILE
    return reply if "sure" in reply.text else await ask("strong")


async def hostile(request: Request, ask: Ask) -> Reply:
    return await ask("fast")


hostile.__name__ = HOSTILE


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    provider = FakeProvider(lambda request: "dunno" if int(request.prompt.split()[0]) % 3 else "sure")
    send = provider.send

    async def knowing(model: Any, request: Request, *, timeouts: Any) -> Any:
        raw = await send(model, request, timeouts=timeouts)
        return raw if model.wire_name == "small" else type(raw)(text="sure", usage=raw.usage)

    provider.send = knowing  # type: ignore[method-assign]
    workspace = fake_workspace(tmp_path_factory.mktemp("compared"), provider)
    flow = Flow.from_source("reply = llm(word)", name="quiz", workspace=workspace)
    words = [f"{number} {PAYLOADS[number % len(PAYLOADS)]}" for number in range(ITEMS)]
    table = pd.DataFrame({"word": words, "gold": "sure", "kind": [HOSTILE, "b"] * (ITEMS // 2)})
    return compare(
        flow, over=table, strategies=[careful, hostile], scorer="reply=exact:gold", slices="kind", reference="fast"
    )


@pytest.fixture
def standing(compared: Comparison) -> Standing:
    return standing_of(compared)


class TestFigure:
    def test_each_row_is_a_point_with_its_intervals_and_its_name(self, standing: Standing) -> None:
        points = traces(standing)[: len(KINDS)]
        drawn = [name for trace in points for name in trace["customdata"]]
        assert drawn == [row.name for row in standing.rows]
        strategies = points[0]
        careful_row = standing.rows[0]
        assert strategies["x"][0] == 1000 * careful_row.cost_usd.estimate
        assert strategies["y"][0] == 100 * careful_row.quality.estimate
        assert strategies["y"][0] + strategies["error_y"]["array"][0] == pytest.approx(100 * careful_row.quality.high)
        assert strategies["x"][0] - strategies["error_x"]["arrayminus"][0] == pytest.approx(
            1000 * careful_row.cost_usd.low
        )

    def test_kinds_differ_in_shape_and_the_reference_is_named(self, standing: Standing) -> None:
        points = traces(standing)[: len(KINDS)]
        shapes = [set(trace["marker"]["symbol"]) for trace in points]
        assert len(shapes[0] | shapes[1] | shapes[2]) == 4, "three kinds, and the oracle apart"
        assert sum(len(shape) for shape in shapes) == 4
        assert "fast (reference)" in points[1]["text"]

    def test_front_and_hull_are_lines_without_the_oracle(self, standing: Standing) -> None:
        front, hull = traces(standing)[len(KINDS) :]
        oracle = next(row for row in standing.rows if row.name == "oracle")
        assert front["mode"] == hull["mode"] == "lines"
        assert front["x"] == sorted(front["x"])
        assert len(front["x"]) == sum(row.on_front for row in standing.rows)
        assert not oracle.on_front
        assert not oracle.on_hull

    def test_names_are_data(self, standing: Standing) -> None:
        text = json.dumps(compare_figure(standing, simulated=True)["data"][0]["text"])
        assert "<img" not in text
        assert "$x$" not in text

    def test_simulated_is_said(self, standing: Standing) -> None:
        assert "simulated, no money" in compare_figure(standing, simulated=True)["layout"]["title"]["text"]
        assert "simulated" not in compare_figure(standing, simulated=False)["layout"]["title"]["text"]

    def test_costs_far_apart_stand_on_a_logarithmic_axis(self, standing: Standing) -> None:
        near = compare_figure(standing, simulated=True)["layout"]["xaxis"]
        assert (near["type"], near["tickprefix"]) == ("linear", "&#36;")
        dear = standing.rows[0]
        dear = replace(dear, cost_usd=replace(dear.cost_usd, estimate=40 * dear.cost_usd.estimate))
        figure = compare_figure(replace(standing, rows=(dear, *standing.rows[1:])), simulated=True)
        axis = figure["layout"]["xaxis"]
        assert axis["type"] == "log"
        assert all(text.startswith("&#36;") for text in axis["ticktext"])
        assert len(axis["ticktext"]) == len(axis["tickvals"]) >= 3

    def test_the_hull_is_straight_in_dollars(self, standing: Standing) -> None:
        hull = traces(standing)[-1]
        slopes = np.diff(hull["y"]) / np.diff(hull["x"])
        corners = sum(row.on_hull for row in standing.rows)
        assert len(np.unique(slopes.round(3))) <= max(corners - 1, 1)

    def test_before_there_are_intervals_the_axes_are_empty(self, compared: Comparison) -> None:
        nothing = standing_of(compared, items=np.zeros(ITEMS, dtype=bool))
        figure = compare_figure(nothing, simulated=True)
        assert [trace.get("x") or [] for trace in figure["data"]] == [[]] * 5


class TestTable:
    def test_a_row_says_what_the_issue_asks_for(self, standing: Standing) -> None:
        row = dict(zip(COLUMNS, cells(standing.rows[0], standing), strict=True))
        assert row["strategy"] == "careful"
        assert row["quality"] == "100.0 %"
        assert row["verdict"] == "▲ better"
        assert row["answered by"] == "fake/large 67\u00a0%, fake/small 33\u00a0%"
        assert row["escalated"] == "67 %"
        assert row["p95"] == row["p99"] == "–", "fewer than ten items lie beyond"
        assert row["errors"] == "0"

    def test_text_and_html_say_the_same_and_escape(self, compared: Comparison, standing: Standing) -> None:
        card, text = compare_card(compared, standing), compare_text(compared, standing)
        assert HOSTILE not in card
        assert html.escape(HOSTILE) in card
        for said in ("careful is better than fast in quality", "named beforehand", "simulated, no money"):
            assert said in html.unescape(card)
            assert said in text

    def test_a_slice_is_shown_without_verdicts(self, compared: Comparison) -> None:
        half = standing_of(compared, items=np.asarray(compared.slices) == "b")
        assert all(cells(row, half)[3] in {"–", "reference"} for row in half.rows)


class TestItems:
    def test_those_on_which_strategies_disagree_come_first(self, compared: Comparison) -> None:
        listed = item_rows(compared)
        split = [row["split"] for row in listed["rows"]]
        assert split == sorted(split, reverse=True)
        assert [row["item"] for row in listed["rows"] if row["split"]] == compared.disagreements()
        assert len(listed["rows"]) == ITEMS
        assert listed["more"] == 0

    def test_an_item_tells_prompt_reply_decision_models_and_score(self, compared: Comparison) -> None:
        item = compared.disagreements()[0]
        detail = item_detail(compared, item)
        first = detail["answers"][0]
        assert detail["prompt"].startswith(str(item))
        assert (first["reply"], first["score"]) == ("sure", "1")
        assert first["asked"] == ["fake/small", "fake/large"]
        assert first["reason"] == HOSTILE
        assert detail["answers"][1]["reply"] == "dunno"


class TestMarks:
    def test_a_mark_is_a_row_of_the_ledger(self, compared: Comparison) -> None:
        compared.mark(3, "careful", "fast", "worse", note="too long")
        sql = compared._running.workspace.ledger.sql
        row = sql("from scores where scored_by = 'person'").iloc[-1]
        assert (row.scorer, row["item"], row.strategy, row.versus) == ("mark", 3, "careful", "fast")
        assert (row.label, row.quality, row.reason) == ("worse", 0.0, "too long")
        assert row.comparison_id == compared.id

    def test_what_is_no_mark_is_refused(self, compared: Comparison) -> None:
        before = len(compared.marks)
        with pytest.raises(UsageError, match="no mark"):
            compared.mark(3, "careful", "fast", "good")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="no answer of 'nobody' to item 3"):
            compared.mark(3, "careful", "nobody", "same")
        with pytest.raises(UsageError, match="to item 999"):
            compared.mark(999, "careful", "fast", "same")
        assert len(compared.marks) == before


class TestPage:
    def test_no_data_can_end_its_element_or_run(self, compared: Comparison) -> None:
        page = page_of(compared)
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
        assert policy is not None
        assert "default-src 'none'" in policy[1]
        assert "unsafe-inline" not in policy[1].split("script-src")[1].split(";")[0]
        ours = page[page.index("<body>") : page.index("<script>")]
        assert ours.count("</script>") == 2, "those of the two blocks of data"
        assert "<img" not in ours
        assert not re.search(r"<(iframe|svg|object|link|form|body) ", ours)
        data = re.search(r'<script type="application/json" id="items">(.*?)</script>', page)
        assert data is not None
        assert len(json.loads(data[1])["details"]) == ITEMS

    def test_a_path_that_is_none_is_said(self, compared: Comparison, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be written"):
            write_page(compared, tmp_path / "nowhere" / "page.html")
