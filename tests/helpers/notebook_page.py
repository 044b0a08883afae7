"""A notebook in JupyterLab, as a test sees it: cells, cards, keys, and what the page should not have done."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from jupyter_lab import Lab
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, Route, expect

#: set it to keep the pictures that tests take
FOLDER = "ECTOOLKIT_SCREENSHOTS"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
MILLISECONDS = 60_000
expect.set_options(timeout=MILLISECONDS)
_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
_IDLE = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel && kernel.status === 'idle' && kernel.connectionStatus === 'connected';
}"""
#: every cell is drawn
_WHOLE = """() => {
    const { content } = window.jupyterapp.shell.currentWidget;
    return content.node.querySelectorAll('.jp-Cell').length === content.model?.cells.length;
}"""
_QUIET = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    return panel.sessionContext.session.kernel.status === 'idle'
        && !document.querySelector('.jp-Notebook .jp-InputPrompt')?.textContent.includes('*')
        && ![...document.querySelectorAll('.jp-InputPrompt')].some((prompt) => prompt.textContent.includes('*'));
}"""

#: go to a page, counted from 0; whether there is more below
_SCROLL = """(number) => {
    const box = document.querySelector('.jp-WindowedPanel-outer') ?? document.scrollingElement;
    box.scrollTop = number * (box.clientHeight - 50);
    return box.scrollTop + box.clientHeight < box.scrollHeight - 1;
}"""


def chromium() -> str | None:
    """The browser: $ECTOOLKIT_CHROMIUM or Debian's; None where there is none."""
    return os.environ.get("ECTOOLKIT_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def launch(playwright: Playwright) -> Browser:
    """Chromium without a window, which can reach nothing but the loopback."""
    return playwright.chromium.launch(executable_path=chromium(), args=_ARGUMENTS)


def new_context(browser: Browser, width: int = 1280, height: int = 900) -> BrowserContext:
    """A fresh profile."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce", locale="en-US", timezone_id="UTC"
    )
    context.set_default_timeout(MILLISECONDS)
    return context


class Watch:
    """What a page should not do: errors on the console, requests off the loopback.

    Attributes:
        errors, external: what was seen.
        allowed: patterns of console errors that a test provokes.
    """

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.external: list[str] = []
        self.allowed: list[str] = []
        page.context.route(re.compile(r"^(?!data:|blob:|file:)\w+://(?!127\.0\.0\.1[:/])"), self._refuse)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)

    def _refuse(self, route: Route) -> None:
        self.external.append(route.request.url)
        route.abort()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def check(self) -> None:
        """Fail where there was anything."""
        errors = [text for text in self.errors if not any(re.search(pattern, text) for pattern in self.allowed)]
        assert not self.external, f"requests off the loopback: {self.external[:5]}"
        assert not errors, f"errors on the console: {errors[:5]}"


class NotebookPage:
    """A notebook that is open.

    Attributes:
        page: Playwright's page.
        lab: the server; ``lab.value("…")`` asks the kernel that runs this notebook.
        watch: what is checked when the test ends.
    """

    def __init__(self, page: Page, lab: Lab, watch: Watch) -> None:
        self.page, self.lab, self.watch = page, lab, watch

    def open(self, path: str, theme: str = "light") -> NotebookPage:
        """Show the notebook at `path` of the server in a page of its own; its kernel is connected on return."""
        workspace = f"test-{secrets.token_hex(4)}"
        self.page.goto(f"{self.lab.url}/doc/workspaces/{workspace}/tree/{path}?token={self.lab.token}&reset")
        self.page.wait_for_function(_IDLE)
        self.page.wait_for_function(_WHOLE)
        self.theme(theme)
        return self

    def theme(self, name: str) -> None:
        """Switch to ``light`` or ``dark``."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", THEMES[name]
        )
        self.page.wait_for_function("(theme) => document.body.dataset.jpThemeName === theme", arg=THEMES[name])

    def command(self, name: str) -> None:
        """Execute a command of JupyterLab without waiting for its end."""
        self.page.evaluate("(name) => { window.jupyterapp.commands.execute(name); }", name)

    def run_all(self, wait: bool = True) -> None:
        """Run every cell, and wait until the kernel has nothing left to do."""
        self.command("notebook:run-all-cells")
        if wait:
            self.quiet()

    def quiet(self, seconds: float = 60) -> None:
        """Wait until no cell runs or waits."""
        self.page.wait_for_timeout(50)
        self.page.wait_for_function(_QUIET, timeout=1000 * seconds)

    def cell(self, index: int) -> Locator:
        """The cell at `index`, Markdown included."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """What the cell at `index` shows."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def card(self, stage: str) -> Locator:
        """The first card of a stage that is shown: ``card("quantize")``."""
        card = self.page.locator(f".ect-card.ect-{stage}").first
        expect(card).to_be_visible()
        return card

    def field(self, card: Locator, name: str) -> Locator:
        """The list of a setting in a card's form; a layer's own settings further down have the same names."""
        return card.locator(f'.ect-field:has(label:text-is("{name}")) select')

    def shoot(self, what: Locator | Page, name: str) -> None:
        """A picture in the folder that $ECTOOLKIT_SCREENSHOTS names; without it, nothing."""
        if os.environ.get(FOLDER):
            self.picture(what, Path(os.environ[FOLDER]) / f"{name}.png")

    def shoot_all(self, name: str) -> None:
        """As `shoot`: all of a page or notebook from top to bottom, in as many pictures as it takes."""
        if not os.environ.get(FOLDER):
            return
        size = self.page.viewport_size or {"width": 1280, "height": 900}
        self.page.set_viewport_size({"width": size["width"], "height": 2200})
        for number in itertools.count():
            more = self.page.evaluate(_SCROLL, number)
            self.shoot(self.page, f"{name}-{number:02}")
            if not more:
                break
        self.page.set_viewport_size(size)

    def picture(self, what: Locator | Page, path: Path) -> None:
        """A picture of a card or of the page; the page is made as tall as the card for that."""
        size = self.page.viewport_size
        box = what.bounding_box() if isinstance(what, Locator) else None
        if size and box:
            self.page.set_viewport_size(
                {"width": size["width"], "height": max(size["height"], int(box["height"]) + 250)}
            )
            self.page.wait_for_timeout(200)
        shown = Image.open(BytesIO(what.screenshot(animations="disabled"))).convert("RGB")
        shown.quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)  # a third of the bytes, same to the eye
        if size and box:
            self.page.set_viewport_size(size)

    def hears(self, expression: str, value: Any) -> None:
        """The kernel's value becomes this: the page shows what was chosen first, and tells the kernel then."""
        found = self.lab.value(expression)
        for _ in range(100):
            if found == value:
                break
            self.page.wait_for_timeout(100)
            found = self.lab.value(expression)
        assert found == value

    def texts(self, rows: Locator) -> list[list[str]]:
        """The text of each cell of each row, in one look."""
        cells: list[list[str]] = rows.evaluate_all(
            "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
        )
        return cells


#: what the fixture ``open_notebook`` is
OpenNotebook = Callable[..., NotebookPage]


@contextmanager
def notebook_page(context: BrowserContext, lab: Lab, name: str = "") -> Iterator[NotebookPage]:
    """A page that fails on leaving where its `Watch` saw something; `name` is for the picture of a failed test."""
    page = context.new_page()
    shown = NotebookPage(page, lab, Watch(page))
    try:
        yield shown
        shown.watch.check()
    except BaseException:
        if name and not page.is_closed():
            shown.shoot(page, f"failed-{name}")
        raise
    finally:
        page.close()


def number(text: str) -> Any:
    """The number that a table's cell shows."""
    return float(text.replace(",", "").replace("∞", "inf").replace("−", "-"))
