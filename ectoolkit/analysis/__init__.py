"""pandas tables of everything: layers, channels, images, errors, files, differences; and what they are made of.

Promises: every table is a plain DataFrame with documented columns and units, one dtype a column, free of styling,
ready for ``to_parquet``.  Errors are measured in simulation (`ectoolkit.quantization.simulation`), which never gives
the results of a model: those are the interpreter's.  Must never run on a device.
"""

from ectoolkit.analysis.channels import channel_table
from ectoolkit.analysis.collapse import warn_of_collapse
from ectoolkit.analysis.diffs import Diff, compare
from ectoolkit.analysis.error_maps import error_map, image_errors
from ectoolkit.analysis.errors import error_table
from ectoolkit.analysis.histograms import Histogram, histogram
from ectoolkit.analysis.images import image_table
from ectoolkit.analysis.impact import Impact, measure_impact
from ectoolkit.analysis.layers import layer_table
from ectoolkit.analysis.layouts import GraphLayout, layout
from ectoolkit.analysis.link_maps import ErrorMap
from ectoolkit.analysis.measurement import Measurement, measure
from ectoolkit.analysis.predictions import prediction_table, top_table
from ectoolkit.analysis.previews import Preview, preview
from ectoolkit.analysis.profiles import profile_table
from ectoolkit.analysis.ranking import Sensitivity, sensitivity
from ectoolkit.analysis.search import AutoResult, Budget, auto
from ectoolkit.analysis.states import compare_states
from ectoolkit.analysis.sufficiency import sufficiency_table
from ectoolkit.analysis.suggestions import Suggestion

__all__ = [
    "AutoResult",
    "Budget",
    "Diff",
    "ErrorMap",
    "GraphLayout",
    "Histogram",
    "Impact",
    "Measurement",
    "Preview",
    "Sensitivity",
    "Suggestion",
    "auto",
    "channel_table",
    "compare",
    "compare_states",
    "error_map",
    "error_table",
    "histogram",
    "image_errors",
    "image_table",
    "layer_table",
    "layout",
    "measure",
    "measure_impact",
    "prediction_table",
    "preview",
    "profile_table",
    "sensitivity",
    "sufficiency_table",
    "top_table",
    "warn_of_collapse",
]
