"""The static HTML that stands where no card can."""

from __future__ import annotations

import re

import pandas as pd
import pytest

import ectoolkit as ect
from ectoolkit.errors import BuildError, InputError, QuantizationError
from ectoolkit.workflow.amounts import macs_text, parameters_text
from ectoolkit.workflow.html import error_html, flow_html, frame_html, stage_html


def test_no_text_has_a_fixed_colour(flow: ect.Flow) -> None:
    flow.quantize.run()
    html = stage_html(flow.quantize) + flow_html(flow) + error_html(InputError("x"))
    assert not re.search(r"(?<![-\w])(color|background)\s*:", html)


def test_a_stage_tells_state_time_summary_and_table(flow: ect.Flow) -> None:
    assert "<b>2 · Quantize</b> — ○ not run" in stage_html(flow.quantize)
    flow.quantize.run()
    html = stage_html(flow.quantize)
    assert re.search(r"✓ done · \d+\.\d s", html)
    assert flow.quantize.summary() in html
    assert "<details open><summary>table of 4 rows</summary>" in html
    assert "<th>zero_point</th>" in html


def test_a_table_has_text_left_and_nothing_for_what_is_not_known() -> None:
    table = pd.DataFrame(
        {"layer": ["<a>", "b"], "macs": [1234567, 0], "sqnr_db": [float("inf"), float("nan")], "clip": [None, (0, 6)]}
    )
    left = ' style="text-align:left;white-space:nowrap"'
    assert frame_html(table) == (
        '<div style="overflow-x:auto"><table class="dataframe"><thead><tr>'
        f"<th{left}>layer</th><th>macs</th><th>sqnr_db</th><th{left}>clip</th></tr></thead><tbody>"
        f"<tr><td{left}>&lt;a&gt;</td><td>1,234,567</td><td>∞</td><td{left}></td></tr>"
        f"<tr><td{left}>b</td><td>0</td><td></td><td{left}>(0, 6)</td></tr></tbody></table></div>"
    )


def test_a_long_table_is_cut_and_says_where_all_is(flow: ect.Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ectoolkit.workflow.html.MAX_ROWS", 3)
    flow.quantize.run()
    html = stage_html(flow.quantize)
    assert "<summary>table of 4 rows, the first 3 here; all: flow.quantize.table</summary>" in html
    assert html.count("<tr>") == 1 + 3


@pytest.mark.parametrize(
    ("count", "parameters", "macs"),
    [
        (3_504_872, "3.5 M parameters", "3.50 MMAC"),
        (10_170, "10,170 parameters", "0.01 MMAC"),
        (300_774_272, "300.8 M parameters", "0.30 GMAC"),
    ],
)
def test_sizes_leave_digits_to_read(count: int, parameters: str, macs: str) -> None:
    assert (parameters_text(count), macs_text(count)) == (parameters, macs)


def test_an_error_shows_above_the_last_good_table(flow: ect.Flow) -> None:
    flow.quantize.run()
    with pytest.raises(QuantizationError, match="method"):
        flow.quantize.run(method="best")
    html = stage_html(flow.quantize)
    assert "method is &#x27;best&#x27;, expected &#x27;typical&#x27;, &#x27;mse&#x27;" in html
    assert html.index('role="alert"') < html.index("<table")


def test_an_error_without_a_message_is_named() -> None:
    assert error_html(KeyboardInterrupt()).endswith("><b>KeyboardInterrupt</b></div>")


def test_output_of_a_tool_is_folded_and_escaped() -> None:
    html = error_html(BuildError("c++ failed", command="c++ a.cc", stdout="", stderr="<stdin>: bad"))
    assert "<details><summary>command and output</summary><pre>$ c++ a.cc\n&lt;stdin&gt;: bad</pre>" in html


def test_a_flow_is_one_line_a_stage(flow: ect.Flow) -> None:
    flow.model.run()
    html = flow_html(flow)
    assert html.count("<tr>") == 6
    assert "✓ done" in html
    assert html.count("○ not run") == 5


def test_shares_are_percentages() -> None:
    html = frame_html(pd.DataFrame({"layer": ["a", "b"], "saturated_high": [7.22e-4, float("nan")]}))
    assert "<td>0.0722 %</td>" in html
    assert "nan" not in html
