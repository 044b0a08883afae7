"""pandas tables of everything: layers, errors, files, differences.

Promises: every table is a plain DataFrame with documented columns and units, free of styling, ready for
``to_parquet``.  Must never run a model: tables are made of what others computed.
"""

from ectoolkit.analysis.diffs import Diff, compare
from ectoolkit.analysis.errors import error_table
from ectoolkit.analysis.layers import layer_table
from ectoolkit.analysis.predictions import prediction_table

__all__ = ["Diff", "compare", "error_table", "layer_table", "prediction_table"]
