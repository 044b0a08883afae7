"""A page that nbconvert makes shows the stages, with nobody there to draw a widget."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from traitlets.config import JSONFileConfigLoader

import ectoolkit as ect

CONFIG = Path(__file__).parents[2] / "notebooks" / "jupyter_nbconvert_config.json"


def test_the_shipped_configuration_prefers_html_to_widgets() -> None:
    flow = ect.Flow(ect.load_model("torchvision/resnet18", weights=None))
    data = flow._repr_mimebundle_() | {"application/vnd.jupyter.widget-view+json": {"model_id": "gone"}}
    cell = nbformat.v4.new_code_cell("flow", outputs=[nbformat.v4.new_output("execute_result", data)])
    config = JSONFileConfigLoader(CONFIG.name, str(CONFIG.parent)).load_config()
    page, _ = HTMLExporter(config=config).from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert "<b>Flow</b> · torchvision/resnet18" in page
    assert '{"model_id": "gone"}' not in page
