"""``ectoolkit verdict``: which link between the model and a device is broken, at which layer and element."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ectoolkit.cli.console import Trust, Xclbin, note, progress_bar, say
from ectoolkit.cli.group import EXIT_DIFFERENT
from ectoolkit.cli.images import Images, preprocess_named, read_images
from ectoolkit.cli.own_model import is_own

if TYPE_CHECKING:
    import numpy as np

    from ectoolkit.analysis.verdict import Verdict
    from ectoolkit.cli.own_model import FloatModel
    from ectoolkit.core.deployment import Deployment
    from ectoolkit.core.interpreter import Progress
    from ectoolkit.devices import Device

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
  ectoolkit verdict net_deploy --model net.py:make_model --images images.npy
  ectoolkit verdict demo_deploy --device xrt:0 --images photos/ --preprocess imagenet --report verdict.json

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
            help="Photos (then --model or --preprocess says what is done to them), a folder of .npy files, or one: "
            "preprocessed float32 N,C,H,W.  [default: the directory's example]",
        ),
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(metavar="imagenet", show_default=False, help="What is done to photos, where no --model says it."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default=False, help="Take no more than this many images.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.py:NAME",
            show_default=False,
            help="The float model, as for `ectoolkit deploy`, where the chain should begin.",
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option(metavar="DEFAULT|PATH|none", help="Of --model, as given to `ectoolkit deploy`.")
    ] = "DEFAULT",
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write the verdict as a page: .html, or .json."),
    ] = None,
    localize: Annotated[bool, typer.Option(help="Search the layer where a device parts.")] = True,
    xclbin: Xclbin = None,
    trust: Trust = False,
) -> None:
    """See `HELP`."""
    import ectoolkit as ect
    from ectoolkit.analysis.verdict.certificate import require_suffix
    from ectoolkit.cli.opening import open_all

    if report is not None:
        require_suffix(report)
    deployment = ect.load_deployment(directory, trust=trust)
    loaded = None
    if model is not None:
        loaded = _float_model(deployment, model, weights)
    how = preprocess_named(preprocess, deployment)
    given = read_images(deployment, images, loaded.preprocess if how is None and loaded is not None else how, limit)
    found = _judge(deployment, open_all(device or ["cpu"], xclbin=xclbin), given, loaded, localize)
    say(found.summary())
    if loaded is not None and found.broken is not None and found.broken.source == "float":
        cure = "" if is_own(model or "") else ": --weights must be what `ectoolkit deploy` was given"
        note(f"note: this link also breaks where {directory} was built with other weights than {loaded.weights}{cure}")
    if report is not None:
        note(f"written: {found.save(report)}")
    raise typer.Exit(0 if found else EXIT_DIFFERENT)


def _float_model(deployment: Deployment, model: str, weights: str) -> FloatModel:
    """The model by name, or the user's own; refused where the directory was built from another."""
    import ectoolkit as ect
    from ectoolkit.cli.own_model import FloatModel, load_own
    from ectoolkit.data.recipes import recipe_of

    if is_own(model):
        if weights != "DEFAULT":
            raise typer.BadParameter(f"--weights is for a model by name; {model} loads its own")
        own = load_own(model)
        require_built_from(deployment, own.name)
        return own
    require_built_from(deployment, recipe_of(model).name)
    named = ect.load_model(model, weights=None if weights.lower() == "none" else weights)
    return FloatModel(named.name, named.module, named.weights, named, named.preprocess)


def require_built_from(deployment: Deployment, asked: str) -> None:
    """Ask before anything is compared whether a directory can have been built from a model, by the names of both.

    Raises:
        InputError: it was built from another model that `load_model` knows.
    """
    from ectoolkit.data.recipes import recipe_of
    from ectoolkit.errors import InputError

    built = deployment.manifest.name
    if asked == built:
        return
    try:
        recipe_of(built)
    except InputError:  # a name that its maker chose
        note(
            f"note: {deployment.path.name} was built from {built!r}, which is no name of a model here; where that is "
            f"not {asked}, float → interpreter compares two networks"
        )
        return
    raise InputError(
        f"{deployment.path.name} was built from {built}, and --model is {asked}: float → interpreter would compare two "
        f"networks, and blame quantization. Give --model {built}, or leave it out to begin at the interpreter"
    )


def _judge(
    deployment: Deployment, devices: list[Device], given: Images, loaded: FloatModel | None, localize: bool
) -> Verdict:
    from ectoolkit.devices.parameters import graph_of
    from ectoolkit.workflow.verdicts import judge_devices

    with ExitStack() as stack:
        opened = [stack.enter_context(device) for device in devices]
        progress = stack.enter_context(progress_bar("judging"))
        return judge_devices(
            graph_of(deployment),
            given.arrays,
            [(one, deployment) for one in opened],
            float_outputs=None if loaded is None else _float_outputs(loaded, deployment, given.arrays, progress),
            preprocess=given.preprocess if loaded is None else loaded.preprocess,
            localize=localize,
            facts={"images": given.source}
            | ({} if loaded is None else {"float model": f"{loaded.name}: {loaded.weights}"}),
            progress=progress,
        )


def _float_outputs(
    loaded: FloatModel, deployment: Deployment, inputs: list[np.ndarray], progress: Progress
) -> list[np.ndarray]:
    """Image by image: all of many at once would fill the memory.

    Raises:
        InputError: the model does not run on the directory's inputs, or gives other shapes than the directory does.
    """
    import numpy as np
    import torch

    from ectoolkit.errors import InputError
    from ectoolkit.frontends.exported.nodes import flattened

    built = f"Give --model what {deployment.path.name} was built from, {deployment.manifest.name!r}"

    module, count = loaded.module.eval(), len(inputs[0])
    found = []
    for number in range(count):
        progress(number, count, "float")
        images = [array[number : number + 1] for array in inputs]
        try:
            with torch.inference_mode():
                one = module(*map(torch.from_numpy, images))
        except (RuntimeError, TypeError) as error:
            shapes = ", ".join(str(image.shape) for image in images)
            raise InputError(
                f"--model {loaded.name} does not run on the directory's input {shapes}: "
                f"{str(error).strip().splitlines()[0]}. {built}"
            ) from error
        found.append([tensor.numpy() for tensor in flattened(one) if isinstance(tensor, torch.Tensor)])
    outputs = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    expected = [tensor.graph_spec.shape[1:] for tensor in deployment.manifest.outputs]
    if [output.shape[1:] for output in outputs] != expected:
        raise InputError(
            f"--model {loaded.name} gives outputs of shape {[output.shape[1:] for output in outputs]}, and the "
            f"directory {expected}. {built}"
        )
    return outputs
