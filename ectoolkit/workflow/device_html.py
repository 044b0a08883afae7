"""The device stage's answers as static HTML: what a saved notebook keeps of the panel.

No colours of text are set, so that it reads on light and dark pages.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ectoolkit.analysis.verdict.ladder import location_html
from ectoolkit.data.thumbnails import SHOWN, thumbnail
from ectoolkit.errors import EctoolkitError, StageError
from ectoolkit.workflow.html import frame_html
from ectoolkit.workflow.pictures import svg_image

if TYPE_CHECKING:
    from ectoolkit.devices import Benchmark
    from ectoolkit.workflow.stages.device import DevicePanel

_WIDTH, _HEIGHT, _ROOM = 560, 90, 6
#: of the best classes, in the static picture
_CLASSES = 3


def answers_html(panel: DevicePanel) -> str:
    """Each answer under its title."""
    parts = []
    for name, (title, show) in _SECTIONS.items():
        found = panel.found.get(name)
        if found is not None:
            older = " (older than the reference or the build)" if panel.outdated(name) else ""
            parts.append(f"<details open><summary>{title}{older}</summary>{show(found)}</details>")
    return "".join(parts)


def _times(times: Benchmark) -> str:
    text = f"<p>{escape(f'{times.deployment} on {times.device}')}</p>{frame_html(times.to_frame())}"
    text += strip_svg("latency", "ms", np.array(times.latency.seconds) * 1e3)
    for name, values in times.sensors.values.items():
        if times.sensors.units[name] in ("W", "°C"):
            known = np.array([np.nan if value is None else value for value in values])
            text += strip_svg(name, times.sensors.units[name], known)
    if times.notice:
        text += f"<p>Sensors and times: {escape(times.notice)}</p>"
    return text


def strip_svg(name: str, unit: str, values: np.ndarray) -> str:
    """Dots over time, from zero or the least to the most; the caption tells the median and the ends."""
    known = values[np.isfinite(values)]
    if not known.size:
        return f"<p>{escape(name)}: not known</p>"
    low, high = float(known.min()), float(known.max())
    caption = f"{name}: median {np.median(known):.4g} {unit}, from {low:.4g} to {high:.4g}, {known.size} samples"
    across = np.linspace(_ROOM, _WIDTH - _ROOM, len(values))
    up = _HEIGHT - _ROOM - (values - low) / ((high - low) or 1.0) * (_HEIGHT - 2 * _ROOM)
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(across, up, strict=True) if np.isfinite(y))
    path = f'<path d="{dots}" stroke="currentColor" stroke-width="4" stroke-linecap="round" fill="none"/>'
    image = svg_image(_WIDTH, _HEIGHT, caption, [path])
    return f'<figure style="margin:.3em 0">{image}<figcaption>{escape(caption)}</figcaption></figure>'


def pictures(panel: DevicePanel) -> list[str]:
    """A ``data:`` address for each of the first images of the last run; empty text where one is no picture."""
    reference = panel.flow.interpret.result
    run = panel.result.images if panel.ready and not panel.stale else SHOWN
    shown = min(SHOWN, len(reference.names), run)
    found = [""] * shown
    seen = reference.pictures
    if seen is None:
        return found
    for index in range(min(shown, len(seen))):
        try:
            found[index] = thumbnail(seen.items[index])
        except EctoolkitError:  # a picture that is gone; its name still stands there
            continue
    return found


def photos_html(panel: DevicePanel) -> str:
    """One row an image: its picture, and the best classes by float, int8 and device; empty where there are none."""
    try:
        top = panel.top(_CLASSES)
        seen = pictures(panel)
    except StageError:  # no classifier, or the reference has run anew
        return ""
    ways = list(dict.fromkeys(top["by"]))
    head = "".join(f'<th style="text-align:left">{escape(way)}</th>' for way in ("image", *ways))
    rows = []
    for index, picture in enumerate(seen):
        mine = top[top["image"] == index]
        name = escape(str(mine["name"].iloc[0]))
        image = f'<img alt="" src="{picture}"><br>' if picture else ""
        cells = "".join(f"<td>{_bars(mine[mine['by'] == way])}</td>" for way in ways)
        rows.append(f'<tr><td style="text-align:left">{image}{name}</td>{cells}</tr>')
    more = len(set(top["image"])) - len(seen)
    note = f"<p>and {more} more images: .top()</p>" if more > 0 else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>{note}'


def _bars(best: Any) -> str:
    """Names with their share, over a line as long as the share."""
    return "".join(
        f'<div style="text-align:left;min-width:9em">{escape(str(row["class"]))} {row["share"]:.1%}'
        f'<div style="border-top:4px solid #58a;width:{row["share"]:.1%}"></div></div>'
        for row in best.to_dict("records")
    )


_SECTIONS: dict[str, tuple[str, Any]] = {
    "preflight": ("Preflight", lambda found: found._repr_html_()),
    "judge": ("Verdict", lambda found: found._repr_html_()),
    "localize": (
        "Where it parts",
        lambda found: location_html(found.location) if found.location else f"<p>{escape(found.device)}: nowhere</p>",
    ),
    "benchmark": ("Times", _times),
    "error_map": ("Error map", lambda found: f"<p>{escape(found.title)}</p>{frame_html(found.to_frame())}"),
}
