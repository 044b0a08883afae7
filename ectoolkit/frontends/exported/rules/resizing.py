"""More or fewer rows and columns: resizing, frames, and channels that become pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ectoolkit.frontends.exported.nodes import arguments, kind_of, named, shape_of
from ectoolkit.frontends.exported.planner import Planner
from ectoolkit.frontends.exported.rules import sampling


def _factors(node: Any) -> tuple[float | None, float | None]:
    """The factors of rows and columns that the user gave."""
    given = named(node)
    factors = given.get("scale_factors") or (given.get("scales_h"), given.get("scales_w"))
    return factors[0], factors[1]


def upsample_nearest(planner: Planner, node: Any) -> None:
    x = node.args[0]
    (height, width), (rows, columns) = shape_of(x)[2:], shape_of(node)[2:]
    factors, exact = _factors(node), "exact" in kind_of(node)
    places = {
        2: sampling.nearest(height, rows, factors[0], exact),
        3: sampling.nearest(width, columns, factors[1], exact),
    }
    doubled = all(
        along == [i // 2 for i in range(2 * e)] for along, e in zip(places.values(), (height, width), strict=True)
    )
    if doubled:
        planner.add(node, "upsample_nearest", [x], keeps_grid=True)
    else:
        planner.gathered(node, x, places)


def upsample_bilinear(planner: Planner, node: Any) -> None:
    """Doubling has an integer form; every other size runs in float."""
    x, align = node.args[0], bool(node.args[2])
    (height, width), (rows, columns) = shape_of(x)[2:], shape_of(node)[2:]
    factors = _factors(node)
    doubled = (rows, columns) == (2 * height, 2 * width) and not align and set(factors) <= {None, 2.0}
    if doubled and not planner.is_real(x):
        planner.add(node, "upsample_bilinear", [x], keeps_grid=True)
        return
    weights = [sampling.linear(height, rows, factors[0], align), sampling.linear(width, columns, factors[1], align)]
    planner.add(node, "float_resample", [x, *weights])


def upsample_bicubic(planner: Planner, node: Any) -> None:
    x, align = node.args[0], bool(node.args[2])
    (height, width), (rows, columns) = shape_of(x)[2:], shape_of(node)[2:]
    factors = _factors(node)
    weights = [sampling.cubic(height, rows, factors[0], align), sampling.cubic(width, columns, factors[1], align)]
    planner.add(node, "float_resample", [x, *weights])


def pad(planner: Planner, node: Any) -> None:
    x, amounts, mode, value = arguments(node, None, None, "constant", None)
    _framed(planner, node, x, amounts, mode, value)


def constant_pad(planner: Planner, node: Any) -> None:
    x, amounts, value = arguments(node, None, None, 0)
    _framed(planner, node, x, amounts, "constant", value)


def _framed(planner: Planner, node: Any, x: Any, amounts: Sequence[Any], mode: str, value: Any) -> None:
    amounts = [*map(int, amounts), 0, 0, 0, 0][: max(4, len(amounts))]
    shape = shape_of(x)
    if mode != "constant":
        _mirrored(planner, node, x, amounts, mode)
        return
    if value not in (None, 0, 0.0) or min(amounts) < 0 or len(shape) != 4 or any(amounts[4:]):
        raise planner.unsupported(
            node, f"with mode={mode!r}, value={value}, amounts={amounts} is not defined; only zeros around images"
        )
    left, right, top, bottom = amounts[:4]
    planner.add(node, "pad", [x], attributes={"amounts": (top, bottom, left, right)}, keeps_grid=True)


def _mirrored(planner: Planner, node: Any, x: Any, amounts: Sequence[int], mode: str) -> None:
    """A frame of the image's own elements: every place beyond the border stands for one within."""
    shape, places = shape_of(x), {}
    for number in range(len(amounts) // 2):
        before, after = amounts[2 * number : 2 * number + 2]
        axis = len(shape) - 1 - number
        if before or after:
            places[axis] = [_inside(place, shape[axis], mode) for place in range(-before, shape[axis] + after)]
    planner.gathered(node, x, dict(sorted(places.items())))


def _inside(place: int, extent: int, mode: str) -> int:
    if mode == "circular":
        return place % extent
    if mode == "replicate":
        return min(max(place, 0), extent - 1)
    return abs(place) if place < extent else 2 * (extent - 1) - place


def pixel_shuffle(planner: Planner, node: Any) -> None:
    x, factor = node.args[0], int(node.args[1])
    n, channels, height, width = shape_of(x)
    split = planner.reshaped(node, x, (n, channels // factor**2, factor, factor, height, width), "split")
    _through(planner, node, split, (0, 1, 4, 2, 5, 3))


def pixel_unshuffle(planner: Planner, node: Any) -> None:
    x, factor = node.args[0], int(node.args[1])
    n, channels, height, width = shape_of(x)
    split = planner.reshaped(node, x, (n, channels, height // factor, factor, width // factor, factor), "split")
    _through(planner, node, split, (0, 1, 3, 5, 2, 4))


def channel_shuffle(planner: Planner, node: Any) -> None:
    x, groups = node.args[0], int(node.args[1])
    n, channels, *rest = shape_of(x)
    split = planner.reshaped(node, x, (n, groups, channels // groups, *rest), "split")
    _through(planner, node, split, (0, 2, 1, *range(3, len(rest) + 3)))


def _through(planner: Planner, node: Any, split: str, order: tuple[int, ...]) -> None:
    """Exchange axes, then take the node's own shape."""
    moved = planner.add(node, "transpose", [split], step="moved", attributes={"order": order}, keeps_grid=True)
    planner.reshaped(node, moved, shape_of(node))


RULES = {
    "_upsample_nearest_exact2d": upsample_nearest,
    "channel_shuffle": channel_shuffle,
    "constant_pad_nd": constant_pad,
    "pad": pad,
    "pixel_shuffle": pixel_shuffle,
    "pixel_unshuffle": pixel_unshuffle,
    "upsample_bicubic2d": upsample_bicubic,
    "upsample_bilinear2d": upsample_bilinear,
    "upsample_nearest2d": upsample_nearest,
}
