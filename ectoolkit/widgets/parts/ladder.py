"""The verdict as a ladder: what holds, what is broken, what was not reached, and where it begins."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import traitlets

from ectoolkit.analysis.verdict import Location, Standing, Verdict
from ectoolkit.widgets.parts.base import Part
from ectoolkit.widgets.selection import Selection


class VerdictLadder(Part):
    """A verdict; its layer can be chosen, with the image, channel and element that differ first.

    Traits, all synchronized:
        rungs: each link by ``name``, ``must``, ``standing``, ``result``, ``meaning``, as in the verdict.
        headline: the verdict in a line.
        location: where it breaks: ``layer``, ``text``, ``image``, ``channel``, ``element``; empty where unknown.
        around: the codes there: ``place``, ``axes``, ``rows``, ``columns``, ``candidate``, ``reference``; or empty.
        note: said above, for example that it is outdated.
        layer, image, channel, element: what is chosen, as in `Selection`.
    """

    script = "ladder"
    follows: ClassVar[tuple[str, ...]] = ("layer", "image", "channel", "element")
    rungs = traitlets.List(traitlets.Dict()).tag(sync=True)
    headline = traitlets.Unicode("").tag(sync=True)
    location = traitlets.Dict().tag(sync=True)
    around = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    layer = traitlets.Unicode("").tag(sync=True)
    image = traitlets.Int(-1).tag(sync=True)
    channel = traitlets.Int(-1).tag(sync=True)
    element = traitlets.Int(-1).tag(sync=True)

    def __init__(self, verdict: Verdict | None = None, *, selection: Selection | None = None, **traits: Any) -> None:
        super().__init__(selection=selection, **traits)
        if verdict is not None:
            self.show(verdict)

    def show(self, verdict: Verdict, note: str = "") -> None:
        """Show a verdict."""
        with self.hold_sync():
            self.rungs = [
                {
                    "name": rung.name,
                    "must": rung.must,
                    "standing": str(rung.standing),
                    "result": rung.result,
                    "meaning": rung.meaning,
                }
                for rung in verdict.rungs
            ]
            broken = next((rung.name for rung in verdict.rungs if rung.meaning), "")
            doubts = any(rung.standing in (Standing.FAR, Standing.COLLAPSED) for rung in verdict.rungs)
            self.headline = f"{'✗' if broken else '!' if doubts else '✓'} {verdict.headline}"
            self._locate(verdict.location)
            self.note = "\n".join(filter(None, [note, verdict.note]))

    def show_location(self, device: str, location: Location | None, note: str = "") -> None:
        """Show where a device parts from the interpreter, without a verdict."""
        with self.hold_sync():
            self.rungs = []
            self.headline = (
                f"✓ {device} parts nowhere" if location is None else f"✗ {device} parts from the interpreter"
            )
            self._locate(location)
            self.note = note

    def _locate(self, location: Location | None) -> None:
        self.location, self.around = {}, {}
        if location is None:
            return
        self.location = {
            "layer": location.layer,
            "text": str(location),
            "image": location.image,
            "channel": location.channel,
            "element": location.element,
        }
        near = location.neighbourhood()
        if near is not None:
            self.around = {
                "place": near.place,
                "axes": list(near.axes),
                "rows": list(near.rows),
                "columns": list(near.columns),
                "candidate": _plain(near.candidate),
                "reference": _plain(near.reference),
            }

    def __repr__(self) -> str:
        return f"VerdictLadder({len(self.rungs)} rungs, {self.headline or 'empty'})"


def _plain(numbers: np.ndarray) -> list[list[Any]]:
    """What JSON can carry: infinities and NaN as the text that JavaScript's ``Number`` reads."""
    names = {np.inf: "Infinity", -np.inf: "-Infinity"}
    return [[value if np.isfinite(value) else names.get(value, "NaN") for value in row] for row in numbers.tolist()]
