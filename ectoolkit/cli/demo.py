"""``ectoolkit demo``: the whole way, on what packages bring."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ectoolkit.cli.console import print_table, progress_bar, say, shape_text
from ectoolkit.cli.group import EXIT_DIFFERENT

if TYPE_CHECKING:
    from ectoolkit.workflow import Flow

HELP = """The whole way, from a float model to a verified deploy directory, in a minute or two.

Loads MobileNetV2 with ImageNet weights, quantizes it with 32 sample photos, runs other photos through the exact
integer interpreter, builds a deploy directory, runs it on this CPU, and compares the results in every element. It
downloads nothing, and needs no accelerator.

\b
Examples:
  ectoolkit demo
  ectoolkit demo --images 20 --out /tmp/demo
  ectoolkit demo --model torchvision/resnet18   (downloads its weights)

Exits with 0 where the CPU's results equal the reference, 1 where they differ, 2 where something failed.
"""

#: calibration takes sample photos that come after the 20 with labels, which are kept for the evaluation
_CALIBRATION = slice(20, 52)


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The deploy directory to write.")] = Path("demo_deploy"),
    images: Annotated[int, typer.Option(help="Labelled photos to evaluate, 1 to 20.")] = 8,
    model: Annotated[str, typer.Option(metavar="NAME", help="As for `ectoolkit deploy`.")] = "mobilenet_v2",
) -> None:
    """See `HELP`."""
    from ectoolkit.core.atomic import require_replaceable
    from ectoolkit.core.deployment import is_deployment

    start = time.perf_counter()
    require_replaceable(out, is_deployment, "deploy directory")  # before a minute of work
    flow = _run(model, images, out)
    _report(flow)
    say(f"\nthe demo took {time.perf_counter() - start:.0f} s\n")
    say(flow.device.diff.summary())
    _next(out)
    raise typer.Exit(0 if flow.device.diff else EXIT_DIFFERENT)


def _run(model: str, images: int, out: Path) -> Flow:
    import ectoolkit as ect
    from ectoolkit.cli.stages import run_stage

    photos = ect.sample_photos(images, labelled=True)
    calibration = ect.sample_photos(_CALIBRATION.stop)[_CALIBRATION]
    with progress_bar(f"loading {model}"):
        loaded = ect.load_model(model)
    say(f"{loaded.name}: {loaded.weights}, input {shape_text(loaded.input_shape)}")
    say(f"{len(calibration)} photos to calibrate with, {len(photos)} others, labelled, to evaluate\n")
    flow = ect.Flow(loaded, calibration=calibration)
    run_stage(flow.model)
    run_stage(flow.quantize)
    run_stage(flow.interpret, photos)
    run_stage(flow.importer)
    run_stage(flow.build, str(out))
    run_stage(flow.device, "cpu", runs=100)
    return flow


def _report(flow: Flow) -> None:
    """The photos, the files, the time."""
    from ectoolkit.cli.stages import print_files

    table = flow.device.predictions
    table["image"] = table["image"].str.removeprefix("imagenet_")  # so that a row fits a terminal
    columns = [column for column in table.columns if column != "agree"]
    rows = [
        [*(str(row[column]) for column in columns), "yes" if row["agree"] else "NO"] for row in table.to_dict("records")
    ]
    say("\ntop class of each photo: the float model, the integer model on the interpreter, and the compiled library")
    print_table([*columns, "agree"], rows)
    device, total = flow.device.result.run.device, len(table)
    same = (table[device] == table["int8"]).sum()
    kept = (table["int8"] == table["float"]).sum()
    say(f"{device} and int8 name the same class for {same} of {total} photos, as they must")
    say(f"int8 and float do for {kept} of {total}: the rest is what quantizing costs")
    say(f"\n{flow.build.deployment.path}")
    print_files(flow.build.deployment)
    say(f"\n{flow.device.result.run.device}: {flow.device.result.latency}")


def _next(out: Path) -> None:
    steps = {
        f"ectoolkit verify {out} --recompute": "prove it again from the files alone",
        f"ectoolkit run {out} --runs 1000": "time it, and compare with the stored reference",
        "ectoolkit deploy efficientnet_lite0 lite0_deploy": "another model; --help shows the choices",
        "ectoolkit lab": "the same steps in a notebook",
    }
    # after `make demo` the command is in .venv and not yet on the reader's PATH
    folder = "" if shutil.which("ectoolkit") else f"{Path(sys.executable).parent}/"
    width = max(map(len, steps))
    say("\nnext" + (f", after `source {folder}activate`:" if folder else ":"))
    for command, purpose in steps.items():
        say(f"  {command:<{width}}  {purpose}")
