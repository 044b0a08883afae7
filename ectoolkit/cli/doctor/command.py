"""``ectoolkit doctor``: print what `examine` found."""

from __future__ import annotations

import textwrap

import typer

from ectoolkit.cli.console import WIDTH, say
from ectoolkit.cli.doctor.examine import examine, missing
from ectoolkit.cli.doctor.finding import Finding, Section
from ectoolkit.cli.group import EXIT_DIFFERENT

HELP = """Say what is installed, what is missing, and how to get it.

Exits with 0 where everything is there that `ectoolkit demo` needs, 1 where something is not. The rest is optional:
the notebook, the C++ program, the accelerator, the browser tests.
"""

_INDENT = " " * 4


def doctor() -> None:
    """See `HELP`."""
    sections = examine()
    for section in sections:
        _print(section)
    lacking = missing(sections)
    if lacking:
        say(f"`ectoolkit demo` cannot run here yet. Missing: {', '.join(finding.name for finding in lacking)}.")
        for cure in dict.fromkeys(finding.cure for finding in lacking):
            say(f"{_INDENT}{cure}")
        raise typer.Exit(EXIT_DIFFERENT)
    say("Everything that the main job needs is here. Try it: ectoolkit demo")


def _print(section: Section) -> None:
    say(section.title)
    width = max(len(finding.name) for finding in section.findings)
    before = ""
    for finding in section.findings:
        say(f"  {_mark(finding):<8}{finding.name:<{width}}  {finding.detail}")
        if finding.cure:
            hang = " " * (10 + width + 2)
            cure = "as above" if finding.cure == before else finding.cure
            say(textwrap.fill(f"get it: {cure}", WIDTH, initial_indent=hang, subsequent_indent=hang + " " * 8))
        before = finding.cure
    say()


def _mark(finding: Finding) -> str:
    if finding.present:
        return "ok"
    return "MISSING" if finding.needed else "absent"
