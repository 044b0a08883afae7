"""A float module captured by ``torch.export``, with batch norm folded by torchao."""

from __future__ import annotations

import copy
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from ectoolkit._optional import require
from ectoolkit.errors import GraphError, InputError
from ectoolkit.frontends.exported.plan import FloatNetwork
from ectoolkit.frontends.exported.planner import Planner
from ectoolkit.frontends.exported.rules import RULES


def capture(module: Any, input_shapes: Sequence[Sequence[int]], *, name: str | None = None) -> FloatNetwork:
    """Capture a module and plan the integer graph it will become.

    Args:
        module: ``nn.Module``; not changed.
        input_shapes: one shape for each input of ``forward``, batch included; the graph will have this batch.
        name: of the model, the module's class by default.

    Raises:
        GraphError: torch cannot export the module.
        UnsupportedOpError: an operation has no integer definition; names it, its layer and the remedy.
        InputError: the module does not run on such inputs.
    """
    torch = require("torch", feature="Capturing a module")
    name = name or type(module).__name__
    examples = tuple(torch.zeros(tuple(shape)) for shape in input_shapes)
    module = copy.deepcopy(module).eval()
    try:
        with torch.no_grad(), _quiet():
            module(*examples)
    except (RuntimeError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"{name} does not run on inputs of shape {[tuple(s) for s in input_shapes]}: {first}. "
            f"{_cure(input_shapes[0])}"
        ) from error
    with _quiet():
        try:
            with _no_graph_dump():
                exported = torch.export.export(module, examples).module(check_guards=False)
        except Exception as error:  # torch raises its own private kinds here
            raise GraphError(
                f"torch.export cannot capture {name}: {_reason(str(error))}. Its forward must be free of branches on "
                "tensor values: write torch.where or torch.clamp in place of the branch, or quantize the parts before "
                "and behind it as models of their own. torch.export.export(module, (example,)) shows the same error "
                "with torch's advice"
            ) from error
        folded = _fold_batch_norm(exported)
    planner = Planner(folded, RULES)
    return planner.plan(name, [tuple(shape) for shape in input_shapes])


def _reason(text: str) -> str:
    """torch's first line, and the place in the user's code that it names last."""
    first = text.strip().splitlines()[0]
    places = re.findall(r'File "([^"]+)", line (\d+), in \w+\n\s*(\S.*)', text)
    if not places:
        return first
    path, line, code = places[-1]
    return f"{first}, in {Path(path).name}, line {line}: {code.strip()}"


def _cure(shape: Sequence[int]) -> str:
    """What to do about images that a module does not take."""
    if len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        return "The channels seem to come last: give images.transpose(0, 3, 1, 2)"
    return "Expected images that went through the model's preprocessing"


def _fold_batch_norm(exported: Any) -> Any:
    """torchao's preparation for a quantizer that annotates nothing: what is left of it is the folding."""
    pt2e = require("torchao.quantization.pt2e.quantize_pt2e", feature="Folding batch norm")
    base: Any = require("torchao.quantization.pt2e.quantizer", feature="Folding batch norm").Quantizer

    class _AnnotatesNothing(base):
        def annotate(self, model: Any) -> Any:
            return model

        def validate(self, model: Any) -> None:
            """Nothing to validate."""

    return pt2e.prepare_pt2e(exported, _AnnotatesNothing())


@contextmanager
def _no_graph_dump() -> Iterator[None]:
    """What torch.export prints of a capture that fails is the graph so far, once a wrapper; the error says it better.

    All else that is printed meanwhile, by the user's forward for example, is printed afterwards.
    """
    printed, dumped = io.StringIO(), ""
    try:
        with redirect_stderr(printed):
            yield
    except Exception as error:
        dumped = f"{getattr(error, 'partial_fx_graph', '')}\n"
        raise
    finally:
        text = printed.getvalue().replace(dumped, "") if dumped.strip() else printed.getvalue()
        sys.stderr.write(text)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch.export and torchao warn of their own plans, which are no concern of the user's."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
