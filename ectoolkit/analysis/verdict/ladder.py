"""A verdict as rungs: one for the input, one a link, those that were not reached included; and as HTML."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ectoolkit.analysis.verdict.links import Link, Must
from ectoolkit.analysis.verdict.location import Location
from ectoolkit.analysis.verdict.neighbourhood import Neighbourhood
from ectoolkit.analysis.verdict.proof import InputProof


class Standing(enum.StrEnum):
    """Of a rung."""

    HOLDS = "holds"
    FAR = "far"
    COLLAPSED = "collapsed"
    BROKEN = "broken"
    NOT_REACHED = "not reached"


#: beside the word, never instead of it
ICONS = {
    Standing.HOLDS: "✓",
    Standing.FAR: "!",
    Standing.COLLAPSED: "!",
    Standing.BROKEN: "✗",
    Standing.NOT_REACHED: "○",
}


@dataclass(frozen=True)
class Rung:
    """One line of the ladder.

    Attributes:
        name: ``"input"``, or the link: ``"interpreter → cpu"``.
        must: what its ends must be: ``"the same"``, ``"close"``, ``"equal"``.
        standing: whether it holds; ``"far"`` and ``"collapsed"`` hold, and are a warning.
        result: what was found, in words.
        meaning: what a break here usually means; empty where it holds.
    """

    name: str
    must: str
    standing: Standing
    result: str
    meaning: str = ""


def rungs(proof: InputProof, links: Sequence[Link], skipped: Sequence[tuple[str, Must]]) -> tuple[Rung, ...]:
    """The ladder, from the input up.

    Args:
        proof: of what went in.
        links: looked at, in order.
        skipped: those behind a broken one by name, with what they must be.
    """
    found = "the same numbers at every stage" if proof else proof.trouble
    meaning = "" if proof else "another preprocessing, layout or file went in there; no layer is at fault yet"
    lines = [Rung("input", "the same", Standing.HOLDS if proof else Standing.BROKEN, found, meaning)]
    for link in links:
        standing = Standing(str(link.grade)) if link.doubtful else Standing.HOLDS if link.ok else Standing.BROKEN
        lines.append(Rung(link.name, str(link.must), standing, link.result, link.meaning))
    for name, must in skipped:
        lines.append(Rung(name, str(must), Standing.NOT_REACHED, "the chain ended before"))
    return tuple(lines)


def ladder_html(ladder: Sequence[Rung], location: Location | None, note: str) -> str:
    """The ladder, and where it breaks, as HTML that needs no style sheet and takes the page's text colour.

    Args:
        ladder: of `rungs`.
        location: where the broken link parts, if anybody can tell.
        note: why nobody can, else.
    """
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in ("link", "must be", "state", "result"))
    body = "".join(_row(rung) for rung in ladder)
    parts = [f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"]
    parts += [
        f"<p>{escape(rung.name)} usually breaks because: {escape(rung.meaning)}</p>" for rung in ladder if rung.meaning
    ]
    if location is not None:
        parts.append(location_html(location))
    elif note:
        parts.append(f"<p>{escape(note)}</p>")
    return "".join(parts)


def location_html(location: Location) -> str:
    """The layer in words, and the codes around its first differing element."""
    near = location.neighbourhood()
    text = f"<p>{escape(str(location))}</p>"
    return text if near is None else text + neighbourhood_html(near)


def neighbourhood_html(near: Neighbourhood) -> str:
    """Both sides' numbers; where they differ both are shown, and the cell has a frame."""
    caption = f"{near.place}: candidate (expected)"
    head = "".join(f'<th scope="col">{near.axes[1]} {column}</th>' for column in near.columns)
    rows = []
    for row, found, expected in zip(near.rows, near.candidate, near.reference, strict=True):
        cells = "".join(_cell(a, b) for a, b in zip(found.tolist(), expected.tolist(), strict=True))
        rows.append(f'<tr><th scope="row">{near.axes[0]} {row}</th>{cells}</tr>')
    return (
        f'<div style="overflow-x:auto"><table><caption style="text-align:left">{escape(caption)}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(found: float, expected: float) -> str:
    if found == expected or (found != found and expected != expected):
        return f'<td style="text-align:right">{found:.6g}</td>'
    return f'<td style="text-align:right;outline:2px solid #c0392b"><b>{found:.6g}</b> ({expected:.6g})</td>'


def _row(rung: Rung) -> str:
    state = f"{ICONS[rung.standing]} {rung.standing}"
    short = 'style="text-align:left;white-space:nowrap"'
    cells = "".join(f"<td {short}>{escape(text)}</td>" for text in (rung.name, rung.must, state))
    return f'<tr>{cells}<td style="text-align:left">{escape(rung.result)}</td></tr>'
