"""The verdict on one page: HTML for people, JSON for programs; hashes and versions say what it holds for."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ectoolkit.analysis.grades import Grade
from ectoolkit.analysis.verdict.ladder import neighbourhood_html
from ectoolkit.analysis.verdict.location import Location
from ectoolkit.analysis.verdict.proof import InputProof
from ectoolkit.core.atomic import replacing_file
from ectoolkit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "ectoolkit-verdict"
VERSION = 1
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: .9rem; } th, td { padding: .25rem .7rem; text-align: left; }
th { border-bottom: 2px solid; } td { border-bottom: 1px solid #8886; } code { font-size: .8rem; }
.verdict { padding: .7rem 1rem; border-left: .4rem solid; white-space: pre-wrap; }
.holds { border-color: #2a7d2a; } .doubtful { border-color: #b8860b; } .broken { border-color: #c0392b; }
"""


@dataclass(frozen=True, eq=False)
class Certificate:
    """What a verdict puts on paper.

    Attributes:
        holds: whether every link does.
        headline: in one line, that some of them hold without being close included.
        summary: in words, a line a link.
        images: how many were looked at.
        links: table, one row a link.
        proof: of what went in.
        location: where the broken link parts; None where nothing is broken or nobody can tell.
        facts: hashes, versions and identities that it holds for.
    """

    holds: bool
    headline: str
    summary: str
    images: int
    links: pd.DataFrame
    proof: InputProof
    location: Location | None
    facts: Mapping[str, str]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it; the last one stays until the new one is complete.

        Raises:
            InputError: the name ends in neither ``.html`` nor ``.json``, or the file cannot be written.
        """
        path = Path(path).expanduser()
        require_suffix(path)
        with replacing_file(path) as temporary:
            temporary.write_text(self.as_html() if path.suffix == ".html" else self.as_json(), encoding="utf-8")
        return path

    def as_dict(self) -> dict[str, Any]:
        """Everything, in plain types; infinities and NaN as text or null."""
        where, location = None, self.location
        if location is not None:
            where = {key: value for key, value in asdict(location).items() if key not in ("found", "expected")}
            where["steps"] = {str(key): value for key, value in location.steps.items()}
            near = location.neighbourhood()
            where["around"] = [] if near is None else [_plain(row) for row in near.to_frame().to_dict("records")]
        return {
            "format": FORMAT,
            "format_version": VERSION,
            "holds": self.holds,
            "images": self.images,
            "summary": self.summary.splitlines(),
            "inputs": [_plain(row) for row in self.proof.to_frame().to_dict("records")],
            "links": [_plain(row) for row in self.links.to_dict("records")],
            "location": where,
            "facts": dict(self.facts),
        }

    def as_json(self) -> str:
        """One JSON object."""
        return msgspec.json.format(msgspec.json.encode(self.as_dict()), indent=1).decode() + "\n"

    def as_html(self) -> str:
        """A page that needs nothing else."""
        doubtful = self.links["grade"].isin([Grade.FAR, Grade.COLLAPSED]).any()
        state = "broken" if not self.holds else "doubtful" if doubtful else "holds"
        title = html.escape(f"Verdict: {self.headline[:1].lower()}{self.headline[1:]}")
        parts = [
            f"<h1>{title}</h1>",
            f'<div class="verdict {state}">{html.escape(self.summary)}</div>',
            "<h2>Links</h2>",
            _table(self.links.to_dict("records")),
            "<h2>Inputs</h2>",
            _table(self.proof.to_frame().to_dict("records")),
        ]
        parts += [] if self.location is None else _place(self.location)
        facts = [{"fact": name, "value": value} for name, value in self.facts.items()]
        parts += ["<h2>Holds for</h2>", _table(facts)]
        head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def require_suffix(path: Path) -> None:
    """Ask before long work whether a certificate can have this name.

    Raises:
        InputError: it ends in neither ``.html`` nor ``.json``.
    """
    if path.suffix not in (".html", ".json"):
        raise InputError(f"{path.name} ends in {path.suffix!r}; a verdict is saved as .html or .json")


def _place(location: Location) -> list[str]:
    parts = ["<h2>First difference</h2>", _table(location.to_frame().to_dict("records"))]
    near = location.neighbourhood()
    if near is not None:
        parts += ["<h2>Around it</h2>", neighbourhood_html(near)]
    if location.steps:
        parts += ["<h2>Differences in steps of the grid</h2>", _table(location.histogram().to_dict("records"))]
    return parts


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
