"""Static HTML of stages and flows: readable on GitHub, in nbconvert and in a notebook nobody trusts.

Text takes its colour from the page, so that it reads in light and dark; lines are of colours that show on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from ectoolkit.analysis.columns import describe
from ectoolkit.errors import BuildError, Cancelled

if TYPE_CHECKING:
    import pandas as pd

    from ectoolkit.workflow.flow import Flow
    from ectoolkit.workflow.stage import Stage

#: sign of each `StageState`, beside its name and never instead of it
ICONS = {"not run": "○", "running": "◐", "done": "✓", "stale": "↻", "failed": "✗", "cancelled": "■"}
#: longer tables are cut, and say so
MAX_ROWS = 80
#: longer tables are folded until somebody opens them
OPEN_ROWS = 12
_BOX = "border:1px solid #8888;border-radius:6px;padding:.5em .8em;margin:.3em 0"


def stage_html(stage: Stage[Any]) -> str:
    """A stage as a box: title, state, time, summary, error, table."""
    took = f" · {stage.seconds:.1f} s" if stage.ready else ""
    parts = [f"<b>{stage.number} · {escape(stage.title)}</b> — {_state(stage)}{took}"]
    if stage.ready:
        parts.append(f"<div>{escape(stage.summary())}</div>")
    parts.append(notices_html(stage.notices))
    if stage.error is not None:
        parts.append(error_html(stage.error))
    if stage.ready:
        parts.append(table_html(stage))
        parts.append(pictures_html(stage))
    parts.append(stage.answers_html())
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def _state(stage: Stage[Any]) -> str:
    return f"{ICONS.get(stage.state, '')} {escape(str(stage.state))}"


def error_html(error: BaseException) -> str:
    """An error as a box of its own; the command and output of a tool that failed are folded."""
    if isinstance(error, Cancelled):  # it ended as asked; nobody needs an alarm
        return f'<div role="status" style="margin:.4em 0">{escape(str(error))}</div>'
    text = ": ".join(filter(None, [f"<b>{escape(type(error).__name__)}</b>", escape(str(error))]))
    if isinstance(error, BuildError) and error.command:
        output = escape("\n".join(filter(None, [f"$ {error.command}", error.stdout, error.stderr])))
        text += f"<details><summary>command and output</summary><pre>{output}</pre></details>"
    style = "border-left:4px solid #c33;padding:.2em .6em;margin:.4em 0;white-space:pre-wrap;overflow-wrap:anywhere"
    return f'<div role="alert" style="{style}">{text}</div>'


def notices_html(notices: Iterable[object]) -> str:
    """What was warned of, a line each."""
    return "".join(f'<div role="status" style="overflow-wrap:anywhere">⚠ {escape(str(one))}</div>' for one in notices)


def table_html(stage: Stage[Any]) -> str:
    """The stage's table, or a line that says why there is none."""
    try:
        table = stage.overview
    except Exception as error:  # a table that cannot be made must not take the rest of the box with it
        return error_html(error)
    if not len(table):
        return ""
    note = f"table of {len(table)} row{'' if len(table) == 1 else 's'}"
    if len(table) > MAX_ROWS:
        note += f", the first {MAX_ROWS} here; all: flow.{stage.attribute}.table"
    opened = " open" if len(table) <= OPEN_ROWS else ""
    return f"<details{opened}><summary>{note}</summary>{frame_html(table.head(MAX_ROWS))}</details>"


def frame_html(table: pd.DataFrame) -> str:
    """A DataFrame that scrolls where it is wide: text from the left, numbers from the right, NaN and None empty."""
    sides = ["" if dtype.kind in "iuf" else ' style="text-align:left;white-space:nowrap"' for dtype in table.dtypes]
    texts = [_share if describe(str(name)).unit == "share" else _text for name in table.columns]
    head = "".join(f"<th{side}>{escape(str(name))}</th>" for name, side in zip(table.columns, sides, strict=True))
    cells = list(zip(sides, texts, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{side}>{text(one)}</td>' for one, (side, text) in zip(row, cells, strict=True))}</tr>"
        for row in table.itertuples(index=False, name=None)
    )
    body = f'<table class="dataframe"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<div style="overflow-x:auto">{body}</div>'


def _share(value: Any) -> str:
    return f"{100 * value:.3g} %" if isinstance(value, float) and value == value else _text(value)


def _text(value: Any) -> str:
    """What a cell shows; NaN and None show nothing."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}".replace("inf", "∞")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def pictures_html(stage: Stage[Any]) -> str:
    """The stage's pictures, each folded until somebody opens it."""
    try:
        pictures = stage.pictures()
    except Exception as error:
        return error_html(error)
    return "".join(f"<details><summary>{escape(title)}</summary>{html}</details>" for title, html in pictures)


def flow_html(flow: Flow) -> str:
    """All stages, one line each."""
    short = 'style="text-align:left;white-space:nowrap"'
    rows = "".join(
        f"<tr><td>{stage.number}</td><td {short}>{escape(stage.title)}</td><td {short}>{_state(stage)}</td>"
        f'<td style="text-align:left">{escape(stage.summary() if stage.ready else "")}</td></tr>'
        for stage in flow.stages
    )
    return f'<div style="{_BOX}"><b>Flow</b> · {escape(flow.name)}<table>{rows}</table></div>'
