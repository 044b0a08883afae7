"""Parts of cards: each an anywidget of its own that also works alone.

A part is three files of one name: ``name.py`` (a `Part`: traits, and nothing that could be computed elsewhere),
``name.js`` (draws the traits) and, where the common one does not do, ``name.css``.  `Part` says what they may use.

Promises: nothing is fetched and nothing built; everything can be done by keyboard; what is chosen is a trait, and the
same trait of a `Selection` where one is given; colour is never the only sign; text follows the page's theme.
"""

from ectoolkit.widgets.parts.base import Part
from ectoolkit.widgets.parts.devices import DeviceList
from ectoolkit.widgets.parts.graph import LayerGraph
from ectoolkit.widgets.parts.heat_map import HeatMap
from ectoolkit.widgets.parts.histogram import HistogramView
from ectoolkit.widgets.parts.ladder import VerdictLadder
from ectoolkit.widgets.parts.photos import PhotoBars
from ectoolkit.widgets.parts.strip import StripChart
from ectoolkit.widgets.parts.table import LayerTable

__all__ = [
    "DeviceList",
    "HeatMap",
    "HistogramView",
    "LayerGraph",
    "LayerTable",
    "Part",
    "PhotoBars",
    "StripChart",
    "VerdictLadder",
]
