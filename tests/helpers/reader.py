"""What a reader without a kernel sees of an executed notebook in a browser, beside what its file holds."""

from __future__ import annotations

from typing import Any

from nbformat import NotebookNode
from playwright.sync_api import Page

#: with every fold opened: how many tables of outputs are seen, which pictures did not load
_SEEN = """async () => {
    for (const fold of document.querySelectorAll('.jp-OutputArea-output details')) fold.open = true;
    const inside = (what) => [...document.querySelectorAll(`.jp-OutputArea-output ${what}`)];
    await Promise.all(inside('img').map((image) => image.decode().catch(() => {})));
    const seen = (element) => element.offsetWidth > 20 && element.offsetHeight > 10;
    const text = document.body.innerText;
    return {
        tables: inside('table').filter(seen).length,
        pictures: inside('img').length,
        broken: inside('img').filter((image) => !image.naturalWidth).map((image) => image.src.slice(0, 80)),
        placeholders: ['Error displaying widget', 'Loading widget', '"model_id"'].filter((one) => text.includes(one)),
    };
}"""


def seen(page: Page) -> dict[str, Any]:
    """What the page shows of all outputs."""
    found: dict[str, Any] = page.evaluate(_SEEN)
    return found


def held(notebook: NotebookNode) -> dict[str, Any]:
    """What `seen` gives where everything that the file holds as HTML or picture is seen."""
    outputs = [part for cell in notebook.cells if cell.cell_type == "code" for part in cell.outputs]
    html = "".join("".join(part.get("data", {}).get("text/html", "")) for part in outputs)
    pictures = sum("image/png" in part.get("data", {}) and "text/html" not in part.data for part in outputs)
    assert "<svg" not in html  # JupyterLab drops it where the notebook is not trusted, and no count would show that
    return {"tables": html.count("<table"), "pictures": html.count("<img") + pictures, "broken": [], "placeholders": []}
