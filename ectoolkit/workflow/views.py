"""How a stage shows itself: plain text and HTML always, and whatever plugins add.

The cards are a plugin of the group ``ectoolkit.views``: so the workflow needs no notebook library.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from ectoolkit._notices import warn
from ectoolkit.errors import MissingDependencyError, PluginWarning
from ectoolkit.workflow.html import flow_html, stage_html

if TYPE_CHECKING:
    from ectoolkit.workflow.flow import Flow
    from ectoolkit.workflow.stage import Stage

GROUP = "ectoolkit.views"
View = Callable[[Any], dict[str, Any]]


def render(shown: Stage[Any] | Flow) -> dict[str, Any]:
    """A display bundle: MIME type to content."""
    html = stage_html(shown) if hasattr(shown, "attribute") else flow_html(shown)  # type: ignore[arg-type]
    bundle: dict[str, Any] = {"text/plain": repr(shown), "text/html": html}
    for view in _views():
        bundle |= view(shown)
    return bundle


@cache
def _views() -> tuple[View, ...]:
    """The plugins that load; one whose library is absent is left out, a broken one with a warning."""
    found = []
    for point in entry_points(group=GROUP):
        try:
            found.append(point.load())
        except MissingDependencyError:
            continue  # no notebook libraries: text and HTML are enough
        except Exception as error:  # a third party's import may fail in any way
            warn(f"view {point.name} ({point.value}) does not load: {error!r}", PluginWarning, stacklevel=2)
    return tuple(found)
