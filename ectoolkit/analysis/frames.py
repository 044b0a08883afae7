"""Rows to DataFrame: the one place where pandas is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ectoolkit._optional import require

if TYPE_CHECKING:
    import pandas as pd


def frame(rows: Iterable[Mapping[str, object]], columns: Iterable[str]) -> pd.DataFrame:
    """A DataFrame with these columns, in this order, even where there are no rows.

    Raises:
        MissingDependencyError: pandas is not installed.
    """
    pandas = require("pandas", feature="A table")
    return pandas.DataFrame(list(rows), columns=list(columns))
