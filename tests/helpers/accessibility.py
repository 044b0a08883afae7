"""What axe-core finds in a part of a page."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

#: axe-core's words for how much a violation hinders
GRAVE = ("serious", "critical")
#: of a whole page, which is JupyterLab's
_NOT_OURS = ("region", "page-has-heading-one", "landmark-one-main", "bypass")


def violations(page: Page, selector: str) -> list[str]:
    """Every serious or critical violation inside what `selector` matches, one line each: rule, elements, why.

    Raises:
        AssertionError: `selector` matches nothing, or axe-core had nothing to check there.
    """
    assert page.locator(selector).count(), f"nothing in the page matches {selector}"
    options = {"rules": {name: {"enabled": False} for name in _NOT_OURS}}
    found = Axe().run(page, context={"include": [[selector]]}, options=options).response
    assert found["passes"], f"axe-core checked nothing in {selector}"
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]}: {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]
