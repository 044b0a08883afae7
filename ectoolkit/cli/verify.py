"""``ectoolkit verify``: check a deploy directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ectoolkit.cli.console import print_table, progress_bar, say, size_text
from ectoolkit.cli.group import EXIT_DIFFERENT

HELP = """Check that a deploy directory is still what was built.

Every file must be there, with the size and sha256 that the manifest lists, and no other file beside them. With
--recompute, the integer interpreter also runs the stored input on the stored graph and weights, and its result must
equal the stored reference.

\b
Examples:
  ectoolkit verify demo_deploy
  ectoolkit verify demo_deploy --recompute

Exits with 0 where all is well, 1 where the recomputed reference differs, 2 where a file is damaged.
"""


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The deploy directory.", show_default=False)],
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute the reference again with the interpreter, and compare.")
    ] = False,
) -> None:
    """See `HELP`."""
    import ectoolkit as ect
    from ectoolkit.core.deployment import from_layout
    from ectoolkit.core.manifest import MANIFEST

    deployment = ect.load_deployment(directory)
    if not deployment.holds_graph:
        deployment.program()  # its format version too
    manifest = deployment.manifest
    say(f"{deployment.path}: {manifest.name}, target {manifest.target}, {manifest.platform or manifest.isa}")
    rows = [[name, size_text(record.size_bytes), record.sha256, "ok"] for name, record in manifest.files.items()]
    size = (deployment.path / MANIFEST).stat().st_size
    rows.append([MANIFEST, size_text(size), "holds its own, over everything else in it", "ok"])
    print_table(["file", "size", "sha256", "state"], rows, right=["size"])
    if not recompute:
        say(f"all {len(rows)} files are as they were built")
        return
    from ectoolkit.cli.run import diff_in_layout

    # the definition itself, as when the reference was written
    with ect.open_device("interpreter", engine="definition") as device, progress_bar("recomputing the reference"):
        outputs = device.run(deployment).outputs
    stored = [from_layout(a, t.layout) for a, t in zip(deployment.references(), manifest.outputs, strict=True)]
    diff = diff_in_layout(deployment, outputs, stored)
    say(f"all {len(rows)} files are as they were built; the interpreter's result against the stored reference:")
    say(diff.summary())
    raise typer.Exit(0 if diff else EXIT_DIFFERENT)
