"""A page that nbconvert makes shows the stages, with nobody there to draw a widget."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output
from static_page import check_static_page, page

import ectoolkit as ect

VIEW = {"application/vnd.jupyter.widget-view+json": {"model_id": "gone"}}


def shows(data: dict[str, Any], source: str = "flow") -> NotebookNode:
    """A notebook with one executed cell."""
    return new_notebook(cells=[new_code_cell(source, id="one", outputs=[new_output("execute_result", data)])])


def test_the_shipped_configuration_prefers_html_to_widgets() -> None:
    flow = ect.Flow(ect.load_model("torchvision/resnet18", weights=None))
    notebook = shows(flow._repr_mimebundle_() | VIEW)
    html = page(notebook)
    assert "<b>Flow</b> · torchvision/resnet18" in html
    assert '{"model_id": "gone"}' not in html
    check_static_page(notebook)


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (shows(VIEW | {"text/plain": "Flow()"}), r"^one: \['application/vnd\.jupyter\.widget-view\+json', 'text/plain'\]"),
        (shows({"text/plain": "   a\n0  1"}), r"^one: \['text/plain'\]"),
        (shows({"text/html": "<p>a</p>"}, "plt.show()"), "^one has no figure"),
        (new_notebook(cells=[new_code_cell("flow", id="one")]), "^nothing is shown"),
    ],
    ids=["widget alone", "table as text", "no figure", "nothing"],
)
def test_what_only_a_kernel_could_show_is_found(notebook: NotebookNode, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_static_page(notebook)
