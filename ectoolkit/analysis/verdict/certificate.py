"""The verdict on one page: HTML for people, JSON for programs; hashes and versions say what it holds for."""

from __future__ import annotations

import html
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ectoolkit.analysis.verdict.ladder import neighbourhood_html
from ectoolkit.core.atomic import replacing_file
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    from ectoolkit.analysis.verdict.chain import Verdict

FORMAT = "ectoolkit-verdict"
VERSION = 1
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .9rem; } th, td { padding: .25rem .7rem; text-align: left; }
th { border-bottom: 2px solid; } td { border-bottom: 1px solid #8886; } code { font-size: .8rem; }
.verdict { padding: .7rem 1rem; border-left: .4rem solid; white-space: pre-wrap; }
.holds { border-color: #2a7d2a; } .broken { border-color: #c0392b; }
"""


def save(verdict: Verdict, path: str | os.PathLike[str]) -> Path:
    """Write a certificate; the last one stays until the new one is complete.

    Raises:
        InputError: the name ends in neither ``.html`` nor ``.json``, or the file cannot be written.
    """
    path = Path(path).expanduser()
    require_suffix(path)
    with replacing_file(path) as temporary:
        temporary.write_text((as_html if path.suffix == ".html" else as_json)(verdict), encoding="utf-8")
    return path


def require_suffix(path: Path) -> None:
    """Ask before long work whether a certificate can have this name.

    Raises:
        InputError: it ends in neither ``.html`` nor ``.json``.
    """
    if path.suffix not in (".html", ".json"):
        raise InputError(f"{path.name} ends in {path.suffix!r}; a verdict is saved as .html or .json")


def as_dict(verdict: Verdict) -> dict[str, Any]:
    """Everything, in plain types; infinities and NaN as text or null."""
    location = verdict.location
    where = None
    if location is not None:
        where = {key: value for key, value in asdict(location).items() if key not in ("found", "expected")}
        where["steps"] = {str(key): value for key, value in location.steps.items()}
        near = location.neighbourhood()
        where["around"] = [] if near is None else [_plain(row) for row in near.to_frame().to_dict("records")]
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "holds": bool(verdict),
        "images": verdict.images,
        "summary": verdict.summary().splitlines(),
        "inputs": [_plain(row) for row in verdict.proof.to_frame().to_dict("records")],
        "links": [_plain(row) for row in verdict.to_frame().to_dict("records")],
        "location": where,
        "facts": dict(verdict.facts),
    }


def as_json(verdict: Verdict) -> str:
    """One JSON object."""
    return msgspec.json.format(msgspec.json.encode(as_dict(verdict)), indent=1).decode() + "\n"


def as_html(verdict: Verdict) -> str:
    """A page that needs nothing else."""
    state = "holds" if verdict else "broken"
    title = f"Verdict: {'every link holds' if verdict else 'a link is broken'}"
    parts = [
        f"<h1>{title}</h1>",
        f'<div class="verdict {state}">{html.escape(verdict.summary())}</div>',
        "<h2>Links</h2>",
        _table(verdict.to_frame().to_dict("records")),
        "<h2>Inputs</h2>",
        _table(verdict.proof.to_frame().to_dict("records")),
    ]
    if verdict.location is not None:
        parts += ["<h2>First difference</h2>", _table(verdict.location.to_frame().to_dict("records"))]
        near = verdict.location.neighbourhood()
        if near is not None:
            parts += ["<h2>Around it</h2>", neighbourhood_html(near)]
        if verdict.location.steps:
            parts += [
                "<h2>Differences in steps of the grid</h2>",
                _table(verdict.location.histogram().to_dict("records")),
            ]
    facts = [{"fact": name, "value": value} for name, value in verdict.facts.items()]
    parts += ["<h2>Holds for</h2>", _table(facts)]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _table(rows: list[Any]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row.values())}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"<code>{html.escape(text)}</code>" if len(text) == 64 else html.escape(text)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(key): _finite(value) for key, value in row.items()}


def _finite(value: Any) -> Any:
    """JSON knows no infinity: as text; NaN is nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value.item() if hasattr(value, "item") else value
