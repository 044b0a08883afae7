"""Static HTML of stages and flows: readable on GitHub, in nbconvert and in a notebook nobody trusts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ectoolkit.errors import MissingDependencyError

if TYPE_CHECKING:
    from ectoolkit.workflow.flow import Flow
    from ectoolkit.workflow.stage import Stage

#: longer tables are cut, and say so
MAX_ROWS = 80
_BOX = "border:1px solid #8888;border-radius:6px;padding:.5em .8em;margin:.3em 0"


def stage_html(stage: Stage[Any]) -> str:
    """A stage as a box: title, state, summary, table or error."""
    parts = [f"<b>{stage.number} · {escape(stage.title)}</b> — {escape(str(stage.state))}"]
    if stage.ready:
        parts.append(f"{stage.seconds:.1f} s · {escape(stage.summary())}")
    if stage.error is not None:
        parts.append(error_html(stage.error))
    if stage.ready:
        parts.append(table_html(stage))
    return f'<div style="{_BOX}">{"<br>".join(parts[:2])}{"".join(parts[2:])}</div>'


def error_html(error: BaseException) -> str:
    """An error as a box of its own."""
    text = f"<b>{escape(type(error).__name__)}</b>: {escape(str(error))}"
    return f'<div role="alert" style="border-left:4px solid #c33;padding:.2em .6em;margin:.4em 0">{text}</div>'


def table_html(stage: Stage[Any]) -> str:
    """The stage's table, or a line that says why there is none."""
    try:
        table = stage.table
    except MissingDependencyError as error:
        return error_html(error)
    shown = table.head(MAX_ROWS)
    note = f"<i>{len(shown)} of {len(table)} rows; all of them: .table</i>" if len(table) > MAX_ROWS else ""
    html = shown.to_html(index=False, border=0, na_rep="", float_format=lambda number: f"{number:.4g}")
    return f'<div style="overflow-x:auto;max-height:28em;overflow-y:auto">{html}</div>{note}'


def flow_html(flow: Flow) -> str:
    """All stages, one line each."""
    rows = "".join(
        f"<tr><td>{stage.number}</td><td>{escape(stage.title)}</td><td>{escape(str(stage.state))}</td>"
        f'<td style="text-align:left">{escape(stage.summary() if stage.ready else "")}</td></tr>'
        for stage in flow.stages
    )
    return f'<div style="{_BOX}"><b>Flow</b> · {escape(flow.name)}<table>{rows}</table></div>'
