"""The static HTML that stands where no card can."""

from __future__ import annotations

import re

import pytest

import ectoolkit as ect
from ectoolkit.errors import BuildError, InputError, QuantizationError
from ectoolkit.workflow.html import error_html, flow_html, stage_html


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
    assert "<details open><summary>4 rows</summary>" in html
    assert "<th>zero_point</th>" in html


def test_an_error_shows_above_the_last_good_table(flow: ect.Flow) -> None:
    flow.quantize.run()
    with pytest.raises(QuantizationError, match="method"):
        flow.quantize.run(method="best")
    html = stage_html(flow.quantize)
    assert "method is &#x27;best&#x27;, expected &#x27;mse&#x27;, &#x27;minmax&#x27;" in html
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
