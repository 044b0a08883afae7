"""The pages are made without a warning, hold what they should, and ask no other machine for anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ectoolkit as ect

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "decisions").glob("*.md")])
#: what a browser fetches by itself: scripts, styles, pictures, frames, fonts
FETCHED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^"'> ]+""")
FETCHED_BY_STYLES = re.compile(r"""(?:@import|url\()\s*["']?(?:https?:)?//[^"') ]+""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, with notebooks as they are kept: to run them takes minutes, and other tests do."""
    copy = tmp_path_factory.mktemp("docs")
    for folder in ("docs", "notebooks"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=lambda _, names: {"_build"} & set(names))
    shutil.copy(ROOT / "README.md", copy)
    arguments = ["--fail-on-warning", "--keep-going", "-q", str(copy / "docs"), str(copy / "site")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *arguments],
        env=os.environ | {"ECTOOLKIT_DOCS_EXECUTE": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return copy / "site"


@pytest.mark.slow
def test_no_page_asks_another_machine_for_anything(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert FETCHED.findall(page.read_text(encoding="utf-8")) == [], page.name
    for style in site.rglob("*.css"):
        assert FETCHED_BY_STYLES.findall(style.read_text(encoding="utf-8")) == [], style.name


@pytest.mark.slow
def test_every_public_name_and_every_notebook_has_its_place(site: Path) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    missing = [name for name in ect.__all__ if not re.search(rf'id="ectoolkit\.[a-z_.]*\.?{name}"', text)]
    assert missing == ["__version__"]
    made = {page.stem for page in (site / "notebooks").glob("*.html")}
    assert made == {notebook.stem for notebook in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.slow
def test_links_to_notebooks_lead_to_their_pages(site: Path) -> None:
    found = {
        page.stem: re.findall(
            r'href="([^"]*notebooks/[^"#]+)"', page.read_text(encoding="utf-8").partition("<article")[2]
        )
        for page in site.glob("*.html")
    }
    for name in ("concepts", "devices", "mera", "verdicts"):
        assert found[name], name
        for target in found[name]:
            assert (site / target).is_file(), f"{name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_files_lead_somewhere_on_github_too(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_patterns_would_find_what_they_look_for() -> None:
    assert FETCHED.search('<script async="async" src="https://somewhere.example/a.js"></script>')
    assert FETCHED.search('<link href="//somewhere.example/a.css" rel="stylesheet">')
    assert not FETCHED.search('<a href="https://somewhere.example/">there</a> <img src="_images/a.png">')
    assert FETCHED_BY_STYLES.search("src: url('https://somewhere.example/a.woff')")
