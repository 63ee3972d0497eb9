"""The report of a headless run: all figures of the ledger, every output defused, nothing that loads or acts."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orchestration_nb import Workspace
from orchestration_nb.pipelines.report import report_page, write_report
from orchestration_nb.pipelines.report_outputs import Outputs
from tests.lookback.conftest import RunIt, run_it

__all__ = ["run_it"]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def output(kind: str, **fields: Any) -> Any:
    return nbformat.v4.new_output(kind, **fields)  # type: ignore[no-untyped-call]


def shown(**data: Any) -> str:
    """A cell's output of these types of data, as the report shows it."""
    return rendered(output("display_data", data=data["data"]))


def rendered(*outputs: Any, markdown: str = "") -> str:
    notebook = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]
    cell = nbformat.v4.new_code_cell("show()", outputs=list(outputs))  # type: ignore[no-untyped-call]
    notebook.cells = [nbformat.v4.new_markdown_cell(markdown), cell]  # type: ignore[no-untyped-call]
    return Outputs(notebook).html()


def test_a_run_that_failed_says_where_and_what_it_cost(run_it: RunIt, workspace: Path) -> None:
    run_it()
    name = run_it(model="strong", fails=True, facts={"parameters": {"limit": "50"}, "secrets": {"TOKEN": "env:TOKEN"}})
    ledger = Workspace.current().ledger
    path = write_report(ledger, "last", workspace=workspace)
    assert path == workspace / ".orchestrate" / "runs" / f"{name}.html"
    page = path.read_text()
    assert "Cell 3: ValueError: no &lt;b&gt;good&lt;/b&gt;" in page
    assert "simulated, no money" in page
    query = "select sum(c.cost_usd) as usd from calls c join runs using (run_id) where pipeline_id = ?"
    assert f"<b>${ledger.sql(query, [name]).usd[0]:.4f}</b>" in page
    assert "2 of 3" in page
    assert "from env:TOKEN" in page
    held = json.loads(re.findall(r'<script type="application/json" id="held">(.*?)</script>', page, re.DOTALL)[0])
    assert set(held) == {"cells", "history"}
    cells = held["cells"]["figures"][""]["data"]
    assert {trace["name"]: len(trace["x"]) for trace in cells} == {"ok": 2, "failed": 1}
    assert len(held["history"]["figures"][""]["data"][0]["x"]) == 2


def test_nothing_in_it_can_load_or_run(run_it: RunIt, workspace: Path) -> None:
    hostile = '<script>alert(1)</script><img src=x onerror=alert(1)><a href="javascript:alert(1)">x</a>'
    outputs = [
        output("stream", text=hostile),
        output("display_data", data={"text/html": hostile}),
        output("error", ename="E", evalue=hostile, traceback=[hostile]),
    ]
    run_it(fails=True, last="raise E", outputs=outputs, name=f"{hostile}.ipynb")
    page = write_report(Workspace.current().ledger, "last", workspace=workspace).read_text()
    assert "default-src 'none'" in page
    body = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    assert "<script" not in body
    assert len(re.findall(r"<script", page)) == 3  # the data, plotly's and the one that draws
    assert not re.search(r"<[^>]*\son\w+=", body)
    assert 'href="javascript' not in body


def test_a_run_whose_copy_is_gone_is_reported_all_the_same(run_it: RunIt, workspace: Path) -> None:
    name = run_it()
    copy = workspace / ".orchestrate" / "runs" / f"{name}.ipynb"
    copy.write_text("")  # as a run leaves it that is killed while its kernel starts
    assert "is not there any more" in write_report(Workspace.current().ledger, "last", workspace=workspace).read_text()
    copy.unlink()
    page = report_page(Workspace.current().ledger.pipeline("last"), None)
    assert "is not there any more" in page
    assert "triage" in page


def test_html_keeps_its_tables_and_loses_what_acts() -> None:
    html = (
        '<table class="t"><tr><td style="position:fixed;width:20%" onclick="f()">1</td></tr></table>'
        '<style>body{display:none}</style><iframe src="https://example.com"></iframe>'
        '<form action="https://example.com"><input></form><img src="https://example.com/pixel.png">'
    )
    assert '<table class="t"><tbody><tr><td style="width:20%">1</td></tr></tbody></table>' in (
        found := shown(data={"text/html": html, "text/plain": "other"})
    )
    for gone in ("onclick", "position", "display:none", "<iframe", "<form", "<input", "<img", "example.com"):
        assert gone not in found


def test_words_are_read_as_markdown_in_which_html_is_text() -> None:
    found = rendered(markdown="# Title\n\n<img src=x onerror=alert(1)> and [a link](javascript:alert(1))\n\n- *one*")
    assert "<h1>Title</h1>" in found
    assert "<em>one</em>" in found
    assert "<img" not in found
    assert "&lt;img" in found
    assert "href" not in found


def test_images_stand_in_the_page_and_what_is_none_is_said() -> None:
    assert f'src="data:image/png;base64,{PIXEL}"' in shown(data={"image/png": PIXEL})
    svg = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
    assert f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" in shown(data={"image/svg+xml": svg})
    assert "cannot be read" in shown(data={"image/png": '"><script>alert(1)</script>'})


@pytest.mark.parametrize("figure", [{}, [], "text", None])
def test_a_figure_that_is_none_is_left_out(figure: Any) -> None:
    assert "A figure is left out" in shown(data={"application/vnd.plotly.v1+json": figure})


def test_long_output_is_cut_and_says_so() -> None:
    found = rendered(output("stream", text="\x1b[31mx\x1b[0m" * 30_000))
    assert "\x1b" not in found
    assert "10,000 characters more" in found
    assert len(found) < 25_000
