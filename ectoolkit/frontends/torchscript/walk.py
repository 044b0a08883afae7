"""Follows a traced module from call to call and lists its tensor operations in order, with their layers' names.

The modules are followed one inside the other rather than inlined, because inlining loses which module an operation
stands in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ectoolkit.errors import UnsupportedOpError

#: one of the parts that aten::chunk makes: arguments (x, which, of how many, axis)
PART = "ectoolkit::chunk"


class TensorRef:
    """Stands for a tensor that an operation makes; identity is all it has."""


@dataclass
class Call:
    """One tensor operation of the model.

    Attributes:
        op: torch's name, for example ``"quantized::conv2d_relu"``.
        layer: the layer's name in the model.
        args: `TensorRef`, list of them, number, None, or a torch object such as packed weights.
        output: what it makes.
    """

    op: str
    layer: str
    args: Sequence[Any]
    output: TensorRef


@dataclass
class Calls:
    """All operations of a model in execution order."""

    inputs: list[TensorRef] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: list[TensorRef] = field(default_factory=list)


@dataclass(frozen=True)
class _Module:
    """A submodule met on the way, and its dotted path."""

    path: str
    script: Any


def walk(script: Any) -> Calls:
    """List a traced module's operations.

    Args:
        script: a ``torch.jit.ScriptModule`` made by tracing.

    Raises:
        UnsupportedOpError: the module has control flow (it was scripted, not traced).
    """
    found = Calls()
    graph = script._c._get_method("forward").graph
    inputs = list(graph.inputs())[1:]
    found.inputs = [TensorRef() for _ in inputs]
    result = _Frame(found, "", script).run("forward", found.inputs)
    found.outputs = _flatten(result)
    return found


def _flatten(result: Any) -> list[TensorRef]:
    if isinstance(result, TensorRef):
        return [result]
    if isinstance(result, dict):
        result = list(result.values())
    return [ref for part in result for ref in _flatten(part)] if isinstance(result, list | tuple) else []


class _Frame:
    """One module while its forward is followed."""

    def __init__(self, found: Calls, path: str, script: Any) -> None:
        self.found = found
        self.path = path
        self.script = script
        self.known: dict[str, Any] = {}

    def run(self, method: str, arguments: Sequence[Any]) -> Any:
        graph = self.script._c._get_method(method).graph
        inputs = list(graph.inputs())
        self.known = {inputs[0].debugName(): _Module(self.path, self.script)}
        for parameter, argument in zip(inputs[1:], arguments, strict=True):
            self.known[parameter.debugName()] = argument
        for node in graph.nodes():
            self._step(node)
        results = [self.known[output.debugName()] for output in graph.outputs()]
        return results[0] if len(results) == 1 else tuple(results)

    def _step(self, node: Any) -> None:
        kind = node.kind()
        arguments = [self.known[value.debugName()] for value in node.inputs()]
        outputs = [value.debugName() for value in node.outputs()]
        if kind == "prim::Constant":
            self.known[outputs[0]] = node.output().toIValue()
        elif kind == "prim::GetAttr":
            self.known[outputs[0]] = self._attribute(arguments[0], node.s("name"))
        elif kind == "prim::CallMethod":
            self.known[outputs[0]] = self._call(arguments[0], node.s("name"), arguments[1:])
        elif kind in ("prim::ListConstruct", "prim::TupleConstruct"):
            self.known[outputs[0]] = list(arguments)
        elif kind == "prim::DictConstruct":
            self.known[outputs[0]] = dict(zip(arguments[::2], arguments[1::2], strict=True))
        elif kind in ("prim::ListUnpack", "prim::TupleUnpack"):
            self.known.update(zip(outputs, self._parts(arguments[0], len(outputs)), strict=True))
        elif kind in ("prim::NumToTensor", "aten::Int", "aten::ScalarImplicit", "aten::Float"):
            self.known[outputs[0]] = arguments[0]
        elif list(node.blocks()):
            raise UnsupportedOpError(
                f"layer {self.path or '(the model)'} has control flow ({kind}). Only traced models have a fixed graph: "
                "use torch.jit.trace instead of torch.jit.script"
            )
        else:
            self._operation(kind, arguments, outputs)

    def _parts(self, whole: Any, count: int) -> list[Any]:
        """A list made in the trace, or the parts of a chunk; one that another operation makes is not followed."""
        if not isinstance(whole, TensorRef):
            return list(whole)
        place = next(i for i, call in enumerate(self.found.calls) if call.output is whole)
        call = self.found.calls[place]
        if call.op != "aten::chunk":
            raise UnsupportedOpError(
                f"layer {call.layer}: {call.op} makes several tensors and has no integer definition here. What to do: "
                "put the layer behind a DeQuantStub, or write it as separate layers"
            )
        x, _, axis = call.args
        refs = [TensorRef() for _ in range(count)]
        parts = [Call(PART, call.layer, [x, index, count, axis], ref) for index, ref in enumerate(refs)]
        self.found.calls[place : place + 1] = parts
        return refs

    def _attribute(self, owner: Any, name: str) -> Any:
        if not isinstance(owner, _Module):
            return getattr(owner, name)
        value = getattr(owner.script, name)
        if hasattr(value, "_c") and hasattr(value, "original_name"):
            return _Module(f"{owner.path}.{name}".lstrip("."), value)
        return value

    def _call(self, module: _Module, method: str, arguments: Sequence[Any]) -> Any:
        # A FloatFunctional's own call leaves no trace but a visit to its observer's empty place right after it.
        owner, _, last = module.path.rpartition(".")
        if last == "activation_post_process" and self.found.calls:
            self.found.calls[-1].layer = owner
            return None
        return _Frame(self.found, module.path, module.script).run(method, arguments)

    def _operation(self, kind: str, arguments: list[Any], outputs: list[str]) -> None:
        layer = self.path if self._is_leaf else f"{self.path}.{kind.rpartition(':')[2]}".lstrip(".")
        refs = [TensorRef() for _ in outputs]
        for output, ref in zip(outputs, refs, strict=True):
            self.known[output] = ref
        self.found.calls.append(Call(kind, layer, arguments, refs[0]))

    @property
    def _is_leaf(self) -> bool:
        """A module with no modules of its own (its packed weights aside): its operation carries its name."""
        children = [name for name, _ in self.script.named_children() if name != "_packed_params"]
        return bool(self.path) and not children
