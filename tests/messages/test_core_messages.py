"""The full text of every error of values, arithmetic, inputs, comparisons and files in ectoolkit.core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from messages import message_of

from ectoolkit.builders import build
from ectoolkit.core import arithmetic
from ectoolkit.core.atomic import replacing_file, replacing_folder
from ectoolkit.core.compare import compare
from ectoolkit.core.graph_file import save_graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.core.types import Layout, QuantParams, TensorSpec
from ectoolkit.errors import (
    GraphError,
    InputError,
    QuantizationError,
)
from ectoolkit.testing.networks import example_input, residual_graph, two_ended_graph

GRAPH = residual_graph()
X = example_input(GRAPH)["input0"]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_scale(scale: float) -> None:
    expected = f"a scale must be finite and positive, got {np.float32(scale)}; look at the calibration data"
    assert message_of(lambda: QuantParams.uint8(np.float32(scale), 0), QuantizationError) == expected


def test_grid() -> None:
    def text(*arguments: Any) -> str:
        return message_of(lambda: QuantParams(*arguments), QuantizationError)

    assert text(np.float32(1), 256, 0, 255) == "zero_point 256 lies outside [0, 255], the integers in use"
    assert text(np.float32(1), 0, 0, 255, 1) == "a scale of shape () does not fit axis 1"
    assert text(np.ones(3, np.float32), 0, 0, 255) == "a scale of shape (3,) does not fit axis None"


def test_empty_axis() -> None:
    assert message_of(lambda: TensorSpec((1, 0, 3), "uint8", Layout.ANY), GraphError) == (
        "shape (1, 0, 3) has an extent below 1; every axis needs at least one element"
    )


# --- arithmetic ------------------------------------------------------------------------------------------------------


def test_quantize() -> None:
    assert message_of(lambda: arithmetic.quantize(np.zeros(2), np.float32(1), 0), QuantizationError) == (
        "quantize takes float32, got float64; convert the array with .astype(numpy.float32)"
    )
    nan = np.array([[0, np.nan]], np.float32)
    assert message_of(lambda: arithmetic.quantize(nan, np.float32(1), 0), QuantizationError) == (
        "the input holds NaN, first at index (0, 1); an integer code cannot stand for it"
    )
    tiny = np.float32(1e-40)
    assert message_of(lambda: arithmetic.reciprocal_of(tiny), QuantizationError) == (
        f"scale {tiny} is too small: its float32 reciprocal overflows; widen the range"
    )


@pytest.mark.parametrize("bias", [2.0**31, -(2.0**31) - 256, 3e38])
def test_bias_overflow(bias: float) -> None:
    biases, scales = np.array([0, bias], np.float32), np.array([1, 1], np.float32)
    assert message_of(lambda: arithmetic.quantize_bias(biases, scales, "layer1.conv"), QuantizationError) == (
        f"the bias of layer1.conv does not fit int32: channel 1 has bias {biases[1]:g} at scale 1, which is "
        f"{biases[1]:g} steps, expected within ±2147483647. The channel's weights are close to zero: give them a "
        "larger scale (per-tensor weights), or prune the channel"
    )


def test_ratio() -> None:
    assert message_of(lambda: arithmetic.requantize_multiplier(2.0**25, "fc"), QuantizationError) == (
        "fc needs a requantize ratio of 3.35544e+07, expected above 0 and below 2**25. The scales of its input and "
        "output are too far apart: calibrate with data that reaches this layer"
    )


# --- inputs ----------------------------------------------------------------------------------------------------------


SHAPE = "expected (1, 3, 6, 5) (NCHW), or a batch that is a multiple of 1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([X, X], "residual takes 1 input(s), got 2"),
        ({"image": X}, "residual takes the inputs ['input0'], got ['image']"),
        (
            X.astype(np.float64),
            "input0 of residual is float32, got float64; preprocess the image (scale, subtract the mean) and convert "
            "with .astype(numpy.float32)",
        ),
        (
            np.zeros(X.shape, np.uint8),
            "input0 of residual is float32, got uint8; preprocess the image (scale, subtract the mean) and convert "
            "with .astype(numpy.float32)",
        ),
        (X[:, :, :5], f"input0 of residual has shape (1, 3, 5, 5), {SHAPE}"),
        (X[:0], f"input0 of residual has shape (0, 3, 6, 5), {SHAPE}"),
        (X[0], f"input0 of residual has shape (3, 6, 5), {SHAPE}; the batch axis is missing: use array[None]"),
        (
            X.transpose(0, 2, 3, 1),
            f"input0 of residual has shape (1, 6, 5, 3), {SHAPE}; this looks like NHWC: use "
            "array.transpose(0, 3, 1, 2)",
        ),
        (np.float32(1), f"input0 of residual has shape (), {SHAPE}"),
    ],
    ids=["number", "names", "float64", "uint8", "shape", "empty", "batch axis", "NHWC", "scalar"],
)
def test_inputs(given: Any, expected: str) -> None:
    assert message_of(lambda: interpret(GRAPH, given), InputError) == expected


def test_input_with_nan() -> None:
    bad = X.copy()
    bad[0, 2, 1, 3] = np.nan
    assert message_of(lambda: interpret(GRAPH, bad), InputError) == (
        "input0 of residual holds NaN, first at index (0, 2, 1, 3); an integer code cannot stand for it"
    )


def test_input_of_another_batch() -> None:
    assert message_of(lambda: interpret(residual_graph(2), np.concatenate([X] * 3)), InputError) == (
        "input0 of residual has shape (3, 3, 6, 5), expected (2, 3, 6, 5) (NCHW), or a batch that is a multiple of 2"
    )


def test_inputs_of_different_numbers() -> None:
    graph = two_ended_graph()
    given = {**example_input(graph, batch=2), "right": example_input(graph)["right"]}
    assert message_of(lambda: interpret(graph, given), InputError) == (
        "the inputs of two_ended hold different numbers of images: {'left': (2, 3, 4, 5), 'right': (1, 2, 4, 5)}"
    )


# --- compare ---------------------------------------------------------------------------------------------------------


def test_compare() -> None:
    assert message_of(lambda: compare([X, X], [X]), InputError) == "cannot compare 2 tensor(s) with 1"
    assert message_of(lambda: compare([], []), InputError) == "cannot compare 0 tensor(s) with 0"
    assert message_of(lambda: compare(X, X[0]), InputError) == (
        "cannot compare output0: float32 (1, 3, 6, 5) with a reference of float32 (3, 6, 5); bring both to one layout "
        "first"
    )
    assert message_of(lambda: compare(X, X.astype(np.float64), ["scores"]), InputError) == (
        "cannot compare scores: float32 (1, 3, 6, 5) with a reference of float64 (1, 3, 6, 5); bring both to one "
        "layout first"
    )


# --- files -----------------------------------------------------------------------------------------------------------


def write_folder(path: Path) -> None:
    with replacing_folder(path, lambda folder: False, "deploy directory"):
        raise AssertionError("must be refused before anything is written")


def write_file(path: Path) -> None:
    with replacing_file(path):
        raise AssertionError("must be refused before anything is written")


def test_out_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    assert message_of(lambda: write_folder(path), InputError) == (
        f"{path} is a file; expected the name of a deploy directory to write. Choose another name or remove it"
    )
    below = path / "deploy"
    expected = f"cannot write {below}: the folder {path} is a file. Create it, or choose another place"
    assert message_of(lambda: write_folder(below), InputError) == expected
    assert message_of(lambda: write_file(below), InputError) == expected


def test_out_holds_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    assert message_of(lambda: write_folder(tmp_path), InputError) == (
        f"{tmp_path} holds other files and is not a deploy directory, so it will not be replaced. Choose another name "
        "or empty it"
    )


def test_out_is_a_folder(tmp_path: Path) -> None:
    expected = f"{tmp_path} is a folder; expected the name of a file to write"
    assert message_of(lambda: write_file(tmp_path), InputError) == expected
    assert message_of(lambda: save_graph(GRAPH, tmp_path), InputError) == expected


def test_no_folder_to_write_in(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "deploy"
    expected = f"cannot write {path}: the folder {path.parent} does not exist. Create it, or choose another place"
    assert message_of(lambda: write_folder(path), InputError) == expected
    assert message_of(lambda: write_file(path), InputError) == expected


def test_folder_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write anywhere
    path = tmp_path / "deploy"
    expected = f"cannot write {path}: the folder {tmp_path} is not writable. Choose another place"
    assert message_of(lambda: write_folder(path), InputError) == expected
    assert message_of(lambda: write_file(path), InputError) == expected
    assert message_of(lambda: build(GRAPH, path, reference_input=X), InputError) == expected
