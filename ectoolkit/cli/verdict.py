"""``ectoolkit verdict``: which link between the model and a device is broken, at which layer and element."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ectoolkit.cli.console import Trust, note, progress_bar, say
from ectoolkit.cli.group import EXIT_DIFFERENT

if TYPE_CHECKING:
    import numpy as np

    from ectoolkit.core.deployment import Deployment
    from ectoolkit.data import LoadedModel

HELP = """Say which link from the model to a device is broken, at which layer and element.

The chain is float, interpreter, device; with --model it begins at the float model, else at the interpreter. First it
is proven that the same numbers go in everywhere. Then each pair is compared: float and interpreter must be close, the
interpreter and a device equal in every element. At the first broken link the layer is searched, by running graphs
that end earlier on the device.

\b
Examples:
  ectoolkit verdict demo_deploy
  ectoolkit verdict demo_deploy --device cpu --device interpreter
  ectoolkit verdict demo_deploy --model mobilenet_v2 --images photos/ --report verdict.html

Exits with 0 where every link holds, 1 where one is broken, 2 where it could not be found out.
"""


def verdict(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The deploy directory.", show_default=False)],
    device: Annotated[
        list[str] | None,
        typer.Option(show_default=False, help="Device to judge; once for each, in order.  [default: cpu]"),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|FILE.npy",
            show_default=False,
            help="Photos (then --model says how to preprocess them), or a preprocessed float32 array N,C,H,W.  "
            "[default: the directory's example]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(show_default=False, help="The float model by name, where the chain should begin."),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="DEFAULT|PATH|none", help="Of --model, as given to `ectoolkit deploy`.")
    ] = "DEFAULT",
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write the verdict as a page: .html, or .json."),
    ] = None,
    localize: Annotated[bool, typer.Option(help="Search the layer where a device parts.")] = True,
    trust: Trust = False,
) -> None:
    """See `HELP`."""
    from contextlib import ExitStack

    import ectoolkit as ect
    from ectoolkit.analysis.verdict.certificate import require_suffix
    from ectoolkit.devices.parameters import graph_of
    from ectoolkit.workflow.verdicts import judge_devices

    if report is not None:
        require_suffix(report)
    deployment = ect.load_deployment(directory, trust=trust)
    loaded = None
    if model is not None:
        loaded = ect.load_model(model, weights=None if weights.lower() == "none" else weights)
    inputs = _images(deployment, images, loaded)
    with ExitStack() as stack:
        opened = [stack.enter_context(ect.open_device(name)) for name in device or ["cpu"]]
        progress = stack.enter_context(progress_bar("judging"))
        found = judge_devices(
            graph_of(deployment),
            inputs,
            [(one, deployment) for one in opened],
            float_outputs=None if loaded is None else _float_outputs(loaded, inputs),
            preprocess=None if loaded is None else loaded.preprocess,
            localize=localize,
            progress=progress,
        )
    say(found.summary())
    if report is not None:
        note(f"written: {found.save(report)}")
    raise typer.Exit(0 if found else EXIT_DIFFERENT)


def _images(deployment: Deployment, images: Path | None, loaded: LoadedModel | None) -> Any:
    """float32 in the graph's layout: one array, or one an input."""
    import ectoolkit as ect
    from ectoolkit.cli.files import read_npy
    from ectoolkit.core.deployment import from_layout

    if images is None:
        tensors = deployment.manifest.inputs
        return [from_layout(a, t.layout) for a, t in zip(deployment.inputs(), tensors, strict=True)]
    if images.suffix == ".npy":
        return read_npy(images)
    if loaded is None:
        raise typer.BadParameter(
            "--images is a folder of photos: add --model, whose preprocessing they need, or give a preprocessed .npy"
        )
    return ect.image_folder(images, loaded.preprocess).batch()


def _float_outputs(loaded: LoadedModel, inputs: Any) -> list[np.ndarray]:
    import torch

    arrays = inputs if isinstance(inputs, list) else [inputs]
    with torch.inference_mode():
        found = loaded.module(*(torch.from_numpy(array) for array in arrays))
    return [tensor.numpy() for tensor in (found if isinstance(found, tuple | list) else [found])]
