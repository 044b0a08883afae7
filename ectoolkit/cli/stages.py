"""Stages of a `Flow`, run and reported one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ectoolkit.cli.console import print_table, progress_bar, say, size_text

if TYPE_CHECKING:
    from ectoolkit.core.deployment import Deployment
    from ectoolkit.workflow import Stage


def run_stage(stage: Stage[Any], *arguments: Any, **settings: Any) -> None:
    """Run a stage with a progress bar, then print its number, title, time and summary."""
    with progress_bar(f"{stage.number} {stage.title}") as progress:
        stage.run(*arguments, progress=progress, **settings)
    say(f"{stage.number} {stage.title:<15} {stage.seconds:5.1f} s  {stage.summary()}")


def print_files(deployment: Deployment) -> None:
    """The directory's files with their sizes."""
    from ectoolkit.analysis.files import file_table
    from ectoolkit.core.manifest import MANIFEST

    table = file_table(deployment.manifest).to_dict("records")
    rows = [[row["file"], size_text(row["size_bytes"]), row["holds"]] for row in table]
    size = (deployment.path / MANIFEST).stat().st_size
    rows.append([MANIFEST, size_text(size), "interface, versions, and the hash of each file"])
    print_table(["file", "size", "holds"], rows, right=["size"])
