"""The session: one model, its calibration images, six stages, and the log of what was done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ectoolkit.core.graph import Graph
from ectoolkit.data import ImageSet, LoadedModel
from ectoolkit.errors import InputError
from ectoolkit.workflow.script import Step, script
from ectoolkit.workflow.stage import Stage
from ectoolkit.workflow.stages.build import BuildStage
from ectoolkit.workflow.stages.device import DevicePanel
from ectoolkit.workflow.stages.importer import ImportStage
from ectoolkit.workflow.stages.interpret import InterpretStage
from ectoolkit.workflow.stages.model import ModelStage
from ectoolkit.workflow.stages.quantize import QuantizeStage
from ectoolkit.workflow.views import render


class Flow:
    """A model's way from float to the device.

    Args:
        model: from `load_model`; any ``nn.Module``; or a `Graph` that is integer already.
        calibration: images from `sample_photos` or `image_folder`, or any iterable of preprocessed float32 arrays;
            needed to quantize, not for a `Graph`.
        name: of the model, where it has none of its own.
        class_names: of the outputs, where the model does not bring them.

    Attributes:
        model, quantize, interpret, importer, build, device: the stages.
        source: the model as given.
        given: the keywords as given, for `to_script`.
        calibration: the images, preprocessed.
        log: runs that went well, in order.
    """

    def __init__(
        self,
        model: LoadedModel | Graph | Any,
        calibration: Iterable[Any] | None = None,
        *,
        name: str | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        if isinstance(model, str | os.PathLike):
            raise InputError(
                f"Flow takes a model, got the text {os.fspath(model)!r}. Use ect.load_model(name), or "
                "ect.import_torchscript(path, input_shape) for a file"
            )
        if isinstance(class_names, str):
            raise InputError(f"class_names is the text {class_names!r}, expected a list of names, one for each class")
        self.source = model
        self.given = {"name": name, "class_names": None if class_names is None else list(class_names)}
        self.name = name or getattr(model, "name", None) or type(model).__name__
        self.class_names: tuple[str, ...] = tuple(class_names or getattr(model, "class_names", None) or ())
        self.calibration = self.preprocessed(calibration)
        self.log: list[Step] = []
        self.model = ModelStage(self)
        self.quantize = QuantizeStage(self)
        self.interpret = InterpretStage(self)
        self.importer = ImportStage(self)
        self.build = BuildStage(self)
        self.device = DevicePanel(self)

    @property
    def stages(self) -> tuple[Stage[Any], ...]:
        """In the order of the guide."""
        return (self.model, self.quantize, self.interpret, self.importer, self.build, self.device)

    def preprocessed(self, images: Iterable[Any] | None) -> Any:
        """Images ready for the model: an image set without preprocessing gets the model's."""
        if isinstance(images, str | os.PathLike):
            raise InputError(
                f"expected images, got the text {os.fspath(images)!r}; for a folder of images use "
                f"ect.image_folder({os.fspath(images)!r})"
            )
        if isinstance(images, ImageSet) and not images.is_ready:
            preprocess = getattr(self.source, "preprocess", None)
            if preprocess is None:
                raise InputError(
                    "the images have no preprocessing and neither has the model. Give it: "
                    "photos.with_preprocess(ect.Preprocess(resize=256, crop=224, mean=..., std=...))"
                )
            return images.with_preprocess(preprocess)
        # a generator would be used up by the first run
        return list(images) if isinstance(images, Iterator) else images

    def record(
        self,
        stage: Stage[Any],
        arguments: tuple[Any, ...],
        settings: dict[str, Any],
        decided: dict[str, Any] | None = None,
    ) -> None:
        """Add a run to the log: what it was given, and what it decided by itself."""
        self.log.append(Step(stage.attribute, arguments, settings, decided=decided or {}))

    def to_script(self) -> str:
        """The session as a plain Python script: the last good run of each stage, in order."""
        return script(self)

    def __repr__(self) -> str:
        done = sum(stage.ready for stage in self.stages)
        return f"Flow({self.name!r}, {done} of {len(self.stages)} stages run)"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return render(self)
