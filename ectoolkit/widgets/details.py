"""What a kind of stage shows below its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ectoolkit.widgets.explorer import QuantizeExplorer
from ectoolkit.widgets.parts import LayerTable
from ectoolkit.widgets.selection import Selection
from ectoolkit.workflow import QuantizeStage, Stage


class Detail(Protocol):
    """It follows its stage by itself, and does not keep it alive."""

    view: Any


#: by kind of stage: what makes its detail from the stage, the card's selection and its table
DETAILS: dict[type[Stage[Any]], Callable[[Any, Selection, LayerTable], Detail]] = {QuantizeStage: QuantizeExplorer}


def detail_of(stage: Stage[Any], selection: Selection, table: LayerTable) -> Detail | None:
    """The detail of a stage, None where its kind has none."""
    make = next((DETAILS[base] for base in type(stage).__mro__ if base in DETAILS), None)
    return None if make is None else make(stage, selection, table)
