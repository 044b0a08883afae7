"""What all parts share: their script and style, their link to a selection, and how arrays travel to the page."""

from __future__ import annotations

import math
import pathlib
import re
import sys
from functools import cache
from typing import Any, ClassVar

import anywidget
import numpy as np
import traitlets

from ectoolkit.widgets.selection import Selection

_HERE = pathlib.Path(__file__).parent
#: dtypes that a page reads without a copy, by their numpy names; see ``array`` in common.js
DTYPES = ("float32", "float64", "int32", "uint32", "int8", "uint8")


class Part(anywidget.AnyWidget):
    """The base of all parts.

    A subclass says ``script = "name"``: ``name.js`` and, where there is one, ``name.css`` beside its module then follow
    `common.js` and `common.css`, whose functions it calls as its own (``make``, ``svg``, ``root``, ``watch``,
    ``array``, ``numberText``, ``shadeOf``, ``choose``, ``throttle``, ``whenResized``).  The script ends in
    ``export default { render };``.

    ``follows`` names the traits of `Selection` that the subclass declares too, synchronized; given a selection, both
    have one value.

    ``page_sets`` names further traits that the page changes, ``page_says`` the messages that it sends.  A change of any
    other trait is refused, so that nothing can be done in a page but what `ectoolkit.widgets.actions` lists.

    Numbers by the hundred travel as bytes: a trait ``data = traitlets.Bytes()`` holds what `packed` gives, and a trait
    ``dtype`` says of what; the page reads it with ``array(model, "data", model.get("dtype"))``.

    Args:
        selection: of the card or session that the part belongs to.
        **traits: of the part; others are refused.
    """

    script: ClassVar[str] = ""
    follows: ClassVar[tuple[str, ...]] = ()
    page_sets: ClassVar[tuple[str, ...]] = ()
    page_says: ClassVar[tuple[str, ...]] = ()
    _links: tuple[traitlets.link, ...] = ()

    def __init_subclass__(cls, **more: Any) -> None:
        if "script" in cls.__dict__:
            here = pathlib.Path(str(sys.modules[cls.__module__].__file__)).parent
            cls._esm = _text(_HERE / "common.js") + _text(here / f"{cls.script}.js")
            own = here / f"{cls.script}.css"
            cls._css = _text(_HERE / "common.css") + (_text(own) if own.exists() else "")
        super().__init_subclass__(**more)

    def __init__(self, *, selection: Selection | None = None, **traits: Any) -> None:
        unknown = sorted(set(traits) - set(self.trait_names()))
        if unknown:
            raise TypeError(f"{type(self).__name__} has no {', '.join(unknown)}")
        super().__init__(**traits)
        self.selection = selection
        if selection is not None:
            self._links = tuple(traitlets.link((selection, name), (self, name)) for name in self._followed())

    def _followed(self) -> tuple[str, ...]:
        """Of `follows`, what this one needs: each is a message to the page for every choice."""
        return self.follows

    def reachable(self) -> tuple[str, ...]:
        """The traits that the page may change now."""
        return (*self._followed(), *self.page_sets)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take from the page what it may change."""
        allowed = self.reachable()
        super().set_state({name: value for name, value in sync_data.items() if name in allowed})

    def close(self) -> None:
        """Let go of the selection and of the page."""
        links, self._links = self._links, ()
        for link in links:
            link.unlink()
        super().close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def packed(values: Any, dtype: str) -> bytes:
    """An array as the bytes that a page reads: C order, little endian.

    Args:
        values: anything numpy takes.
        dtype: one of `DTYPES`.

    Raises:
        ValueError: a page has no such array.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")
    return np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).tobytes()


def plain(value: Any) -> Any:
    """What JSON can carry; infinities travel as the text that JavaScript's ``Number`` reads, NaN as None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value if value is None or isinstance(value, bool | int | float) else str(value)


@cache
def _text(path: pathlib.Path) -> str:
    """A script or style without its comments: a saved notebook has a copy of it for every part."""
    comment = r"^\s*//.*\n" if path.suffix == ".js" else r"/\*[^*]*\*/\n?"
    return re.sub(comment, "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
