"""A test that is skipped in CI would be no test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from required import is_required, skip

ROOT = Path(__file__).parents[3]


def test_what_is_missing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTOOLKIT_REQUIRE", "xrt")
    with pytest.raises(pytest.skip.Exception, match=r"^no Chromium$"):
        skip("chromium", "no Chromium")
    monkeypatch.delenv("ECTOOLKIT_REQUIRE")
    assert not is_required("xrt")


def test_what_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECTOOLKIT_REQUIRE", "chromium xrt")
    text = re.escape("no Chromium (ECTOOLKIT_REQUIRE names chromium, so its tests are not skipped)")
    with pytest.raises(pytest.fail.Exception, match=f"^{text}$"):
        skip("chromium", "no Chromium")


def test_ci_requires_the_browser_and_what_it_could_install() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nrequired=chromium\n" in script
    assert '\nexport ECTOOLKIT_REQUIRE="${ECTOOLKIT_REQUIRE-$required}"\n' in script
    assert script.index("export ECTOOLKIT_REQUIRE") < script.index("\nmake test\n")
