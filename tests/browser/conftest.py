"""JupyterLab, a kernel and Chromium: once for all tests in this folder, because each takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from jupyter_lab import Lab, jupyter_lab
from notebook_page import NotebookPage, OpenNotebook, chromium, launch, new_context, notebook_page
from playwright.sync_api import Browser, sync_playwright
from required import skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


# "package" and not "session": while Playwright runs, its event loop is this thread's, and other tests need their own
@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab with a kernel that has torch in memory already."""
    if chromium() is None:
        skip("chromium", "no Chromium: apt install chromium, or name one in $ECTOOLKIT_CHROMIUM")
    with jupyter_lab(tmp_path_factory.mktemp("lab")) as running:
        running.run("import ectoolkit, ectoolkit.widgets, pandas, torch, torchvision", timeout=120)
        yield running


@pytest.fixture(scope="package")
def browser(lab: Lab) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def notebook(lab: Lab, browser: Browser, request: pytest.FixtureRequest) -> Iterator[NotebookPage]:
    """A page without a notebook; when the test ends it must have had no console error and asked nobody outside."""
    context = new_context(browser)
    try:
        with notebook_page(context, lab, request.node.name) as page:
            yield page
    finally:
        context.close()
        lab.forget()


@pytest.fixture
def open_notebook(notebook: NotebookPage, request: pytest.FixtureRequest) -> OpenNotebook:
    """``open_notebook(["code of a cell", …], theme="dark")`` writes a notebook, opens it, runs its cells."""

    def make(cells: Sequence[str], theme: str = "light", run: bool = True) -> NotebookPage:
        notebook.open(notebook.lab.write(request.node.name, cells), theme)
        if run:
            notebook.run_all()
        return notebook

    return make
