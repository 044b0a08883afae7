"""Which tensors get a border, so that a convolution finds its padding there."""

from __future__ import annotations

from collections.abc import Mapping

from ectoolkit.builders.cpu.isa import Isa
from ectoolkit.builders.cpu.kernels.dense import runs_of
from ectoolkit.builders.cpu.kernels.frames import Frame
from ectoolkit.core.graph import Graph, Node
from ectoolkit.core.ops.base import pair, whole

Border = tuple[int, int, int, int]
NONE: Border = (0, 0, 0, 0)


def plan_frames(graph: Graph, isa: Isa, fused: Mapping[str, Node]) -> dict[str, Border]:
    """The border of each tensor that has one.

    A tensor gets the largest that a convolution reading it needs, if its maker can write one and all its readers can
    read past it.

    Args:
        graph: to be lowered.
        isa: instruction set; none has borders where activations are copied anyhow.
        fused: convolutions that are computed with an add, by name.
    """
    if isa.widens:
        return {}
    added = {add.name for add in fused.values()}
    borders = {}
    for node in graph.nodes:
        users = graph.users[node.name]
        readers = [graph.node(user) for user in users if user != "<output>"]
        makes = (is_dense(graph, node) and node.name not in fused) or node.name in added
        if not makes or graph.values[node.name].spec.dtype != "uint8" or len(readers) < len(users):
            continue
        needed = [needed_border(graph, reader, isa) for reader in readers if is_dense(graph, reader)]
        reads = all(is_dense(graph, reader) or reader.name in added for reader in readers)
        if reads and needed and any(border != NONE for border in needed):
            borders[node.name] = tuple(max(sides) for sides in zip(*needed, strict=True))
    return borders


def is_dense(graph: Graph, node: Node) -> bool:
    """Whether a layer becomes a dense convolution that reads and writes NHWC."""
    return node.op == "conv2d" and whole(node, "groups") == 1


def needed_border(graph: Graph, node: Node, isa: Isa) -> Border:
    """What a dense convolution reads around its input."""
    n, c, h, w = graph.values[node.inputs[0]].spec.shape
    _, _, rows, columns = graph.values[node.name].spec.shape
    settings = (pair(node, "stride"), pair(node, "padding"), pair(node, "dilation"))
    return border_of((n, h, w, c), (rows, columns), graph.values[node.inputs[1]].spec.shape, *settings, isa)


def border_of(
    shape: tuple[int, int, int, int],
    made: tuple[int, int],
    weight: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    isa: Isa,
) -> Border:
    """The border: padding as far as it is read, and a column more where the last dot product would read past the end.

    Args:
        shape: of the input, NHWC.
        made: rows and columns of the output.
        weight: ``(O, C, KH, KW)``.
        stride, padding, dilation: rows, columns.
        isa: instruction set.
    """
    n, h, w, c = shape
    last = [
        (count - 1) * step - pad + (size - 1) * apart
        for count, step, pad, size, apart in zip(made, stride, padding, weight[2:], dilation, strict=True)
    ]
    border = (padding[0], padding[1], max(0, last[0] - h + 1), max(0, last[1] - w + 1))
    runs = runs_of(weight, dilation, isa)  # type: ignore[arg-type]
    beyond = runs.steps * isa.group - runs.length
    frame = Frame(shape, border)
    if frame.at(n - 1, last[0], last[1]) + c + beyond > frame.size:
        border = (*border[:3], border[3] + -(-beyond // c))
    return border
