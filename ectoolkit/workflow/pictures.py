"""Pictures that stand in static HTML: images that need no script.

A notebook that nobody trusts loses every tag of an inline SVG and keeps its words, so each is a file inside an address.
Such a file knows no theme: it brings a light ground, as a figure does, and reads on light and dark pages.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

import numpy as np

from ectoolkit.analysis.columns import extent, strength
from ectoolkit.analysis.histograms import Histogram, grid_range
from ectoolkit.analysis.layouts import GraphLayout

_CELL, _BOX = (74, 44), (64, 26)
_WARN, _ACCENT = "#e67e00", "#1976d2"
_PLOT = (560, 130)
_GROUND, _INK = "#fafafa", "#222222"
#: pixels around a picture
_MARGIN = 6


def graph_svg(layout: GraphLayout, values: Sequence[float | None], better: str, unit: str = "") -> str:
    """A graph whose layers are shaded by values.

    Args:
        layout: places of inputs and layers.
        values: one for each of its names; None or NaN for no value.
        better: as in `ectoolkit.analysis.columns.Column`.
        unit: of the values.

    Returns:
        What `svg_image` gives.
    """
    ends, middles = extent(values, better), layout.places * np.array(_CELL)
    parts = [_edge(middles[source], middles[target]) for source, target in layout.edges]
    for op, (x, y), value in zip(layout.ops, middles, values, strict=True):
        share = strength(value, ends)
        text = "" if share is None else f"{value:.3g}"
        parts.append(
            f'<g transform="translate({x:.0f} {y:.0f})">'
            f'<rect x="-32" y="-13" width="64" height="26" rx="4" fill="{_WARN if better else _ACCENT}" '
            f'fill-opacity="{0.6 * (share or 0):.2f}" stroke="currentColor" stroke-opacity=".7"/>'
            f'<text y="-2" text-anchor="middle">{escape(op if len(op) <= 10 else f"{op[:9]}…")}</text>'
            f'<text y="9" text-anchor="middle" font-size="9">{text}</text></g>'
        )
    width, height = layout.size[0] * _CELL[0], layout.size[1] * _CELL[1]
    marked = f", with a number{f' in {unit}' if unit else ''} for each; the table has them by name"
    return svg_image(width, height, f"{len(layout.names)} layers as a graph{marked}", parts)


def _edge(start: np.ndarray, end: np.ndarray) -> str:
    """From box to box; a long one in one row bows around the boxes between."""
    (x1, y1), (x2, y2) = start, end
    if abs(x2 - x1) < _BOX[0]:
        down = _BOX[1] / 2 * (1 if y2 > y1 else -1)
        path = f"M{x1:.0f} {y1 + down:.0f}L{x2:.0f} {y2 - down:.0f}"
    else:
        half = _BOX[0] / 2 * (1 if x2 > x1 else -1)
        bow = -0.7 * _CELL[1] if y1 == y2 and abs(x2 - x1) > 1.5 * _CELL[0] else 0
        begin, stop = x1 + half, x2 - half
        middle = (begin + stop) / 2
        path = f"M{begin:.0f} {y1:.0f}C{middle:.0f} {y1 + bow:.0f} {middle:.0f} {y2 + bow:.0f} {stop:.0f} {y2:.0f}"
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".5"/>'


def histogram_svg(histogram: Histogram) -> str:
    """A distribution on a logarithmic scale, with the range that has codes shaded."""
    (width, height), shares = _PLOT, histogram.shares
    begin, end = histogram.begin, histogram.begin + histogram.width * len(shares)
    low, high = histogram.range if histogram.grid is None else grid_range(histogram.grid)
    least, most = min(begin, low), max(end, high)

    def place(value: float) -> float:
        return (value - least) / ((most - least) or 1) * width

    floor = min(float(np.floor(np.log10(shares[shares > 0].min(initial=1.0)))), -1.0)
    tops = height * np.log10(np.maximum(shares, 10.0**floor)) / floor
    steps = "".join(f"V{top:.1f}H{place(begin + (index + 1) * histogram.width):.1f}" for index, top in enumerate(tops))
    parts = [
        f'<rect x="{place(low):.1f}" width="{place(high) - place(low):.1f}" height="{height}" fill="{_ACCENT}" '
        'fill-opacity=".18"/>',
        f'<path d="M{place(begin):.1f} {height}{steps}V{height}Z" fill="currentColor" fill-opacity=".6"/>',
        f'<path d="M0 {height}H{width}" stroke="currentColor"/>',
        *(
            f'<text x="{place(value):.0f}" y="{height + 13}" text-anchor="{anchor}">{value:.3g}</text>'
            for value, anchor in ((least, "start"), (0.0, "middle"), (most, "end"))
            if anchor != "middle" or 0.1 * width < place(0.0) < 0.9 * width
        ),
    ]
    picture = svg_image(width, height + 16, f"distribution of {histogram.layer}", parts)
    how = f", range {histogram.method}" if histogram.method else ""
    return f"<div>{escape(histogram.layer)}: {histogram.of}{escape(how)}, {low:.4g} to {high:.4g}</div>{picture}"


def svg_image(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    """SVG elements as an ``<img>``.

    Args:
        width, height: of what the elements fill, pixels from 0.
        label: what it shows, for who does not see it.
        parts: the elements; ``currentColor`` is the ink.
    """
    wide, high = width + 2 * _MARGIN, height + 2 * _MARGIN
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="{-_MARGIN} {-_MARGIN} {wide:.0f} {high:.0f}" color="{_INK}" fill="currentColor" '
        'font-size="10" font-family="sans-serif">'
        f'<rect x="{-_MARGIN}" y="{-_MARGIN}" width="100%" height="100%" rx="4" fill="{_GROUND}"/>'
        f"{''.join(parts)}</svg>"
    )
    address = f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"
    return f'<img alt="{escape(label)}" width="{wide:.0f}" style="max-width:100%" src="{address}">'
