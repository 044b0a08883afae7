"""Rows to DataFrame: the one place where pandas is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ectoolkit._optional import require

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Mapping[str, object]], columns: Iterable[str] | Mapping[str, str]) -> pd.DataFrame:
    """A DataFrame with these columns, in this order, even where there are no rows.

    Args:
        rows: values by column.
        columns: names; or name to dtype, and then every column has that dtype whatever the rows hold, and what a row
            lacks is NaN in a ``float64`` and empty in a ``str`` column.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    pandas = require("pandas", feature="A table")
    if not isinstance(columns, Mapping):
        return pandas.DataFrame(list(rows), columns=list(columns))
    known = list(rows)
    return pandas.DataFrame(
        {
            name: pandas.Series([row.get(name, _MISSING.get(dtype)) for row in known], dtype=dtype)
            for name, dtype in columns.items()
        }
    )


_MISSING: Mapping[str, object] = {"float64": float("nan"), "str": ""}
