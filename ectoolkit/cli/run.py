"""``ectoolkit run``: run a deploy directory and compare with its reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ectoolkit.cli.console import Trust, Xclbin, note, print_table, progress_bar, say
from ectoolkit.cli.group import EXIT_DIFFERENT

if TYPE_CHECKING:
    import numpy as np

    from ectoolkit.analysis import Diff
    from ectoolkit.core.deployment import Deployment
    from ectoolkit.devices import Benchmark, Device, Profile

HELP = """Run a deploy directory, and compare with its reference in every element.

Every file is first checked against the manifest. Then the directory's example input runs on the device, and the
result is compared with the reference that was stored when the directory was built, without a tolerance.

\b
Examples:
  ectoolkit run demo_deploy
  ectoolkit run demo_deploy --device interpreter
  ectoolkit run demo_deploy --threads 2 --runs 1000
  ectoolkit run demo_deploy --reference board_result.bin
  ectoolkit run demo_deploy --input photo.npy
  ectoolkit run demo_deploy --profile --threads 1

Exits with 0 where every element is equal, 1 where one differs, 2 where it could not run.
"""

#: without --runs: as many as the guide's program, but no longer than this
_RUNS, _TIMING_SECONDS = 100, 10.0


_Runs = Annotated[
    int | None,
    typer.Option(min=1, show_default=False, help="Timed runs.  [default: 100, or those of 10 s]"),
]
_Reference = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        show_default=False,
        help="Compare with this instead: .bin (float32, in the stated layout) or .npy. Once for each output.",
    ),
]
_Input = Annotated[
    list[Path] | None,
    typer.Option(
        "--input",
        metavar="FILE",
        show_default=False,
        help="Run this instead of the example: .bin (float32, in the stated layout) or .npy. Once for each "
        "input. Without --reference, the result is compared with the interpreter's.",
    ),
]


def run(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The deploy directory.", show_default=False)],
    device: Annotated[str, typer.Option(help="Where to run; `ectoolkit devices` lists them.")] = "cpu",
    runs: _Runs = None,
    threads: Annotated[
        int | None, typer.Option(show_default=False, help="CPU threads.  [default: one for each CPU]")
    ] = None,
    reference: _Reference = None,
    inputs: _Input = None,
    profile: Annotated[
        bool,
        typer.Option("--profile", help="Also print each layer's time, and its share of what the CPU can do at most."),
    ] = False,
    xclbin: Xclbin = None,
    trust: Trust = False,
) -> None:
    """See `HELP`."""
    import ectoolkit as ect
    from ectoolkit.cli.opening import open_with

    deployment = ect.load_deployment(directory, trust=trust)
    given = None if not inputs else _read(deployment, inputs, "input")
    expected = None if not reference else _read(deployment, reference, "output")
    manifest = deployment.manifest
    kind = manifest.platform or manifest.isa
    chosen = open_with(device, threads=threads, xclbin=xclbin)
    say(f"deployment: {deployment.path} ({manifest.name}, target {manifest.target}, {kind})")
    with chosen as opened, progress_bar(f"running on {device}") as progress:
        progress(0, 0, "loading")
        result = opened.run(deployment, given)
        count = runs or _RUNS
        limit_s = None if runs else _TIMING_SECONDS
        times = opened.benchmark(deployment, runs=count, warmup=min(10, count), limit_s=limit_s, progress=progress)
        measured = None
        if profile:
            progress(0, 0, "timing each layer")
            measured = opened.profile(deployment, runs=min(times.latency.runs, 20))
        if expected is None:
            progress(0, 0, "comparing")
            expected = _expected(deployment, given, opened)
    say(f"device: {result.device}")
    _print_times(times)
    if times.latency.runs < count:
        note(f"note: {_TIMING_SECONDS:g} s were over before {count} runs were made; --runs {count} takes its time")
    if measured is not None:
        _print_profile(measured)
    diff = diff_in_layout(deployment, result.outputs, expected)
    say(diff.summary())
    raise typer.Exit(0 if diff else EXIT_DIFFERENT)


def _print_times(times: Benchmark) -> None:
    """The host's; then what the device measured itself, on lines of its own."""
    say(str(times.latency))
    for name, values in times.loads[0].own.items():
        say(f"measured by the device: {name} {sum(values) / len(values):.6g} in the mean")
    if times.notice:
        note(f"note: {times.notice}")


def _print_profile(profile: Profile) -> None:
    """A row a layer; the roofline is explained in `ectoolkit.devices.profile.Roofline`."""
    from ectoolkit.analysis import profile_table

    say(f"profile: {profile}")
    rows = [
        [
            row["layer"],
            row["op"],
            f"{row['time_us']:.1f}",
            f"{row['share']:.1%}",
            f"{row['gmac_per_s']:.1f}" if row["macs"] else "",
            f"{row['gb_per_s']:.1f}",
            row["bound"],
            f"{row['of_roofline']:.0%}",
        ]
        for row in profile_table(profile).to_dict("records")
    ]
    titles = ["layer", "op", "µs", "share", "GMAC/s", "GB/s", "bound by", "of roofline"]
    print_table(titles, rows, right=["µs", "share", "GMAC/s", "GB/s", "of roofline"])


def _read(deployment: Deployment, paths: list[Path], what: str) -> list[np.ndarray]:
    from ectoolkit.cli.files import read_tensors

    manifest = deployment.manifest
    return read_tensors(paths, manifest.inputs if what == "input" else manifest.outputs, what)


def _expected(deployment: Deployment, given: list[np.ndarray] | None, device: Device) -> list[np.ndarray]:
    """The stored reference; for an input of the user's, what the interpreter says."""
    import ectoolkit as ect
    from ectoolkit.core.deployment import from_layout

    if given is None:
        outputs = deployment.manifest.outputs
        return [from_layout(a, t.layout) for a, t in zip(deployment.references(), outputs, strict=True)]
    if device.name == "interpreter":
        note("note: without --reference, the interpreter is compared with itself")
    with ect.open_device("interpreter") as interpreter:
        return interpreter.run(deployment, given).outputs


def diff_in_layout(deployment: Deployment, outputs: list[np.ndarray], expected: list[np.ndarray]) -> Diff:
    """Compare in the layout of the directory's files, so that an index is one of theirs."""
    import ectoolkit as ect
    from ectoolkit.core.deployment import to_layout

    tensors = deployment.manifest.outputs
    found, wanted = (
        [to_layout(array, tensor.layout) for array, tensor in zip(arrays, tensors, strict=True)]
        for arrays in (outputs, expected)
    )
    return ect.compare(found, wanted, [tensor.name for tensor in tensors])
