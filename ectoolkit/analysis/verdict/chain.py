"""The verdict: float → int8 → interpreter → compiled library or simulator → board, up to the first broken link."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ectoolkit.analysis.diffs import compare
from ectoolkit.analysis.frames import frame
from ectoolkit.analysis.verdict.certificate import Certificate
from ectoolkit.analysis.verdict.ladder import Rung, ladder_html, rungs
from ectoolkit.analysis.verdict.links import LEAST_SQNR_DB, Link, Must, link, link_name
from ectoolkit.analysis.verdict.location import Location
from ectoolkit.analysis.verdict.proof import InputProof
from ectoolkit.core.interpreter import Progress
from ectoolkit.core.words import counted
from ectoolkit.errors import BuildError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

COLUMNS = (
    "link",
    "must",
    "ok",
    "grade",
    "sqnr_db",
    "top1_agreement",
    "mismatches",
    "elements",
    "max_abs_diff",
    "first_index",
)


@dataclass(frozen=True, eq=False)
class Member:
    """One end of a link.

    Attributes:
        name: of what computes: ``"float"``, ``"int8"``, ``"interpreter"``, or a device's.
        outputs: computes, when its turn comes: float32 in the graph's layout.
        must: what it must be to the member before it; of no meaning for the first.
        locate: finds the layer where it parts from the member before it, where it can be asked.
    """

    name: str
    outputs: Callable[[], Sequence[np.ndarray]]
    must: Must = Must.EQUAL
    locate: Callable[[], Location | None] | None = None


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was found; truthy where every link holds.

    Attributes:
        proof: what went in, stage by stage.
        links: in order, up to the first broken one.
        location: the layer and element where the broken link parts; None where nothing is broken or nobody can tell.
        images: how many were looked at.
        facts: hashes, versions and identities, for the certificate.
        note: why nobody can tell where it parts; empty where that was not tried, or went well.
        skipped: links behind the broken one by name, with what they must be.
    """

    proof: InputProof
    links: tuple[Link, ...]
    location: Location | None
    images: int
    facts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    skipped: tuple[tuple[str, Must], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.proof) and all(found.ok for found in self.links)

    @property
    def broken(self) -> Link | None:
        """The first broken link; None where all hold, or where already the inputs are not the same."""
        return next((found for found in self.links if not found.ok), None)

    def summary(self) -> str:
        """In words: each link, then what is broken, where, and what that usually means."""
        lines = [f"input: {'✓ the same numbers at every stage' if self.proof else '✗ ' + self.proof.trouble}"]
        lines += [str(found) for found in self.links]
        if self.broken is not None:
            if self.location is not None:
                lines.append(str(self.location))
            lines += [self.note] if self.note else []
            lines.append(f"This usually means: {self.broken.meaning}")
        elif self.proof:
            lines.append(self.headline)
        return "\n".join(lines)

    @property
    def headline(self) -> str:
        """In one line, without a sign."""
        if self.broken is not None or not self.proof:
            return f"broken at {'input' if self.broken is None else self.broken.name}"
        doubts = [f"{found.name} is {found.grade}" for found in self.links if found.doubtful]
        but = f", but {' and '.join(doubts)}" if doubts else ""
        return f"Every link holds on {counted(self.images, 'image')}{but}"

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        state = "holds" if self else f"broken: {self.broken.name if self.broken else 'input'}"
        return f"Verdict({len(self.links)} link(s), {state})"

    @property
    def rungs(self) -> tuple[Rung, ...]:
        """The ladder from the input up, with those links that were not reached."""
        return rungs(self.proof, self.links, self.skipped)

    def _repr_html_(self) -> str:
        return ladder_html(self.rungs, self.location, self.note)

    def to_frame(self) -> pd.DataFrame:
        """One row a link.

        Columns: ``link``; ``must`` be ``"close"`` or ``"equal"``; ``ok``; ``grade`` of a close link: ``"close"``,
        ``"far"`` or ``"collapsed"``, empty of others; ``sqnr_db`` decibels (inf where equal);
        ``top1_agreement`` share of images; ``mismatches`` of ``elements``; ``max_abs_diff`` in real units;
        ``first_index`` of the first difference as text.
        """
        return frame((_row(found) for found in self.links), COLUMNS)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the certificate: one page of HTML, or JSON, by the name's ending.

        Raises:
            InputError: the name ends in neither ``.html`` nor ``.json``.
        """
        return Certificate(
            holds=bool(self),
            headline=self.headline,
            summary=self.summary(),
            images=self.images,
            links=self.to_frame(),
            proof=self.proof,
            location=self.location,
            facts=self.facts,
        ).save(path)


def _row(found: Link) -> dict[str, object]:
    first = found.diff.first
    return {
        "link": found.name,
        "must": str(found.must),
        "ok": found.ok,
        "grade": str(found.grade or ""),
        "sqnr_db": found.sqnr_db,
        "top1_agreement": found.top1_agreement,
        "mismatches": sum(tensor.mismatches for tensor in found.diff.tensors),
        "elements": sum(tensor.elements for tensor in found.diff.tensors),
        "max_abs_diff": found.diff.max_abs_diff,
        "first_index": "" if first is None else f"{first.name}{list(first.first_index or ())}",
    }


def judge(
    members: Sequence[Member],
    proof: InputProof,
    images: int,
    *,
    names: Sequence[str] | None = None,
    facts: Mapping[str, str] | None = None,
    least_sqnr_db: float = LEAST_SQNR_DB,
    progress: Progress | None = None,
) -> Verdict:
    """Walk along the chain and stop at the first broken link; nobody behind it is run.

    Args:
        members: at least two, in order.
        proof: of the inputs; where it does not hold, no link is looked at.
        images: how many went in.
        names: of the outputs.
        facts: for the certificate.
        least_sqnr_db: below, links whose ends must be close are broken.
        progress: called before each member runs; may raise to cancel.

    Raises:
        InputError: there are fewer than two members.
    """
    if len(members) < 2:
        raise InputError(f"a chain needs at least two members, got {[member.name for member in members]}")
    links: list[Link] = []
    location, note = None, ""
    if proof:
        before = list(members[0].outputs())
        for position, (first, second) in enumerate(itertools.pairwise(members), 1):
            if progress is not None:
                progress(position, len(members), second.name)
            found = list(second.outputs())
            diff = compare([a.astype(np.float32) for a in found], [a.astype(np.float32) for a in before], names)
            links.append(link(first.name, second.name, second.must, before, found, diff, least_sqnr_db))
            if not links[-1].ok:
                try:
                    location = second.locate() if second.locate is not None else None
                except BuildError as error:  # a part may be refused although the whole is not
                    note = f"Where it begins could not be searched: {error}"
                break
            before = found
    behind = itertools.islice(itertools.pairwise(members), len(links), None)
    skipped = tuple((link_name(first.name, second.name), second.must) for first, second in behind)
    return Verdict(proof, tuple(links), location, images, dict(facts or {}), note, skipped)
