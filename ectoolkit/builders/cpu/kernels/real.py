"""Operations on real numbers in float64, and moves of elements of any dtype, as tensor expressions."""

from __future__ import annotations

from math import prod

from tvm import te, tirx, topi

from ectoolkit.builders.cpu.kernels.computed import computed
from ectoolkit.builders.cpu.kernels.functions import FUNCTIONS, const, power

BINARY = {
    "float_add": lambda a, b: a + b,
    "float_divide": lambda a, b: a / b,
    "float_maximum": tirx.max,
    "float_minimum": tirx.min,
    "float_multiply": lambda a, b: a * b,
    "float_power": power,
    "float_subtract": lambda a, b: a - b,
}
REDUCED = {"float_max": topi.max, "float_mean": topi.sum, "float_min": topi.min, "float_sum": topi.sum}


def repeated(x, place):
    """The element of `x` for a place in a tensor that it is repeated to."""
    own = place[len(place) - len(x.shape) :]
    return x(*[0 if int(extent) == 1 else at for extent, at in zip(x.shape, own, strict=True)])


def at_channel(x, place):
    """The element of ``(C,)`` for a place in ``(N, C, ...)``."""
    return x(place[1])


@computed
def binary(a, b, shape, name):
    return te.compute(shape, lambda *place: BINARY[name](repeated(a, place), repeated(b, place)))


@computed
def function(x, shape, name, parameters):
    return te.compute(shape, lambda *place: FUNCTIONS[name](x(*place), *parameters))


@computed
def prelu(x, slope, shape):
    value = lambda *place: tirx.Select(x(*place) >= const(0), x(*place), at_channel(slope, place) * x(*place))
    return te.compute(shape, value)


@computed
def reduction(x, shape, name, axes, keep):
    result = REDUCED[name](x, axis=list(axes), keepdims=keep)
    return result / const(prod(int(x.shape[axis]) for axis in axes)) if name == "float_mean" else result


def normalized(x, axes, epsilon):
    """Mean 0 and variance 1 over some axes."""
    count = const(prod(int(x.shape[axis]) for axis in axes))
    centred = topi.subtract(x, topi.sum(x, axis=list(axes), keepdims=True) / count)
    variance = topi.sum(topi.multiply(centred, centred), axis=list(axes), keepdims=True) / count
    return topi.divide(centred, topi.sqrt(variance + const(epsilon)))


@computed
def layer_norm(x, weight, bias, shape, epsilon):
    axes = range(len(shape) - len(weight.shape), len(shape))
    plain = normalized(x, axes, epsilon)
    return te.compute(shape, lambda *place: plain(*place) * repeated(weight, place) + repeated(bias, place))


@computed
def group_norm(x, weight, bias, shape, groups, epsilon):
    grouped = topi.reshape(x, (shape[0], groups, prod(shape[1:]) // groups))
    plain = topi.reshape(normalized(grouped, (2,), epsilon), shape)
    return te.compute(shape, lambda *place: plain(*place) * at_channel(weight, place) + at_channel(bias, place))


@computed
def softmax(x, shape, axis, log):
    shifted = topi.subtract(x, topi.max(x, axis=axis, keepdims=True))
    powers = topi.exp(shifted)
    total = topi.sum(powers, axis=axis, keepdims=True)
    return topi.subtract(shifted, topi.log(total)) if log else topi.divide(powers, total)


def product(a, b, shape):
    """Matrices ``(..., M, K)`` and ``(..., K, P)``; axes before may repeat."""
    inner = te.reduce_axis((0, a.shape[-1]), "inner")

    def total(*place):
        *batch, row, column = place
        return te.sum(repeated_matrix(a, batch, row, inner) * repeated_matrix(b, batch, inner, column), axis=inner)

    return te.compute(shape, total)


def repeated_matrix(x, batch, row, column):
    own = batch[len(batch) - len(x.shape) + 2 :]
    return x(*[0 if int(extent) == 1 else at for extent, at in zip(x.shape[:-2], own, strict=True)], row, column)


@computed
def matmul(a, b, shape):
    return product(a, b, shape)


@computed
def linear(x, weight, bias, shape):
    inner = te.reduce_axis((0, weight.shape[1]), "inner")
    total = te.compute(shape, lambda *place: te.sum(x(*place[:-1], inner) * weight[place[-1], inner], axis=inner))
    return te.compute(shape, lambda *place: total(*place) + bias[place[-1]])


@computed
def attention(query, key, value, shape, scale):
    order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    scores = product(query, topi.transpose(key, order), (*shape[:-1], int(key.shape[-2])))
    scores = scores * const(scale)
    powers = topi.exp(topi.subtract(scores, topi.max(scores, axis=-1, keepdims=True)))
    return product(topi.divide(powers, topi.sum(powers, axis=-1, keepdims=True)), value, shape)


@computed
def resample(x, first_row, rows, first_column, columns, shape):
    """Weighted sums of neighbouring columns, then of rows; the tables say where each begins and what they weigh."""
    n, c, p, q = shape
    i, j = te.reduce_axis((0, rows.shape[1]), "i"), te.reduce_axis((0, columns.shape[1]), "j")
    wide = te.compute(
        (n, c, x.shape[2], q),
        lambda n, c, row, column: te.sum(columns[column, j] * x[n, c, row, first_column[column] + j], axis=j),
    )
    return te.compute(
        shape, lambda n, c, row, column: te.sum(rows[row, i] * wide[n, c, first_row[row] + i, column], axis=i)
    )


@computed
def conv2d(x, weight, bias, shape, stride, padding, dilation, groups):
    o, per_group, kh, kw = (int(extent) for extent in weight.shape)
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    k, i, j = (te.reduce_axis((0, extent), name) for extent, name in ((per_group, "k"), (kh, "i"), (kw, "j")))
    framed = topi.nn.pad(x, (0, 0, ph, pw), (0, 0, ph, pw), const(0)) if ph or pw else x

    def total(n, c, row, column):
        source = framed[n, c // (o // groups) * per_group + k, row * sh + i * dh, column * sw + j * dw]
        return te.sum(source * weight[c, k, i, j], axis=[k, i, j])

    sums = te.compute(shape, total)
    return te.compute(shape, lambda *place: sums(*place) + at_channel(bias, place))


@computed
def spread(x, shape, stride, top, left):
    """Elements a stride apart, real zeros between and around them."""
    height, width = x.shape[2:]
    (sh, sw) = stride

    def element(n, c, row, column):
        r, s = row - top, column - left
        within = tirx.all(r >= 0, r < height * sh, s >= 0, s < width * sw, r % sh == 0, s % sw == 0)
        return tirx.if_then_else(within, x[n, c, r // sh, s // sw], const(0))

    return te.compute(shape, element)


# --- moves ---------------------------------------------------------------------------------------------------------


@computed
def gather(x, *rest):
    """The tables of places stand between the operand and the shape; the last setting names their axes."""
    *tables, shape, axes = rest

    def element(*place):
        source = list(place)
        for table, axis in zip(tables, axes, strict=True):
            source[axis] = table[place[axis]]
        return x(*source)

    return te.compute(shape, element)


@computed
def reshape(x, shape):
    return topi.reshape(x, shape)


@computed
def transpose(x, shape, order):
    return topi.transpose(x, order)


@computed
def slice_axis(x, shape, axis, begin):
    return te.compute(shape, lambda *place: x(*place[:axis], place[axis] + begin, *place[axis + 1 :]))


@computed
def pad(x, shape, top, left):
    height, width = x.shape[2:]

    def element(n, c, row, column):
        within = tirx.all(row >= top, row < top + height, column >= left, column < left + width)
        return tirx.if_then_else(within, x[n, c, row - top, column - left], const(0))

    return te.compute(shape, element)


@computed
def concat(*given):
    *tensors, shape, axis = given
    return topi.concatenate(tensors, axis)


@computed
def upsample_nearest(x, shape):
    return te.compute(shape, lambda n, c, row, column: x[n, c, row // 2, column // 2])


@computed
def max_pool(x, shape, kernel, stride, padding, dilation):
    height, width = x.shape[2:]
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    i, j = te.reduce_axis((0, kh), "i"), te.reduce_axis((0, kw), "j")

    def largest(n, c, row, column):
        r, s = row * sh + i * dh - ph, column * sw + j * dw - pw
        within = tirx.all(r >= 0, r < height, s >= 0, s < width)
        return te.max(tirx.if_then_else(within, x[n, c, r, s], te.min_value("float64")), axis=[i, j])

    return te.compute(shape, largest)
