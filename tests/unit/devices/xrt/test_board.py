"""Programs on the virtual board: buffers, kernels, layers of a graph, measurements; through each way to XRT."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import ectoolkit as ect
from ectoolkit.core.deployment import Deployment
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_builder import GraphBuilder
from ectoolkit.core.interpreter import trace
from ectoolkit.core.types import QuantParams
from ectoolkit.devices.xrt import (
    Board,
    Buffer,
    compare_layer,
    measure_banks,
    measure_kernel,
    read_health,
    read_xclbin,
    run_layer,
)
from ectoolkit.devices.xrt.programs import decode_program, encode_program
from ectoolkit.devices.xrt.pyxrt_backend import _as_c_int
from ectoolkit.errors import BoardBusyError, DeployFormatError, DeviceRunError, KernelArgumentError
from ectoolkit.testing.networks import example_input, residual_graph
from ectoolkit.testing.virtual_u50 import Fault, VirtualBoard
from ectoolkit.testing.virtual_u50.kernels import KERNELS
from ectoolkit.testing.virtual_u50.xclbin_file import write_xclbin

COUNT = 1000


def vectors(board: Board) -> tuple[Buffer, Buffer, Buffer]:
    """Buffers for vector_add; a and b filled and synced."""
    a, b, c = (board.buffer("vector_add", name, 4 * COUNT) for name in "abc")
    a.write(np.arange(COUNT, dtype=np.int32))
    b.write(np.full(COUNT, 7, np.int32))
    a.to_device()
    b.to_device()
    return a, b, c


def test_a_kernel(virtual: VirtualBoard, backend: str) -> None:
    with Board("0", backend=backend) as board:
        assert board.backend == backend
        board.load(virtual.xclbin)
        a, b, c = vectors(board)
        for exclusive in (False, True):
            c.write(np.zeros(COUNT, np.int32))
            c.to_device()
            assert board.run("vector_add", a, b, c, COUNT, exclusive=exclusive) > 0
            c.from_device()
            assert_array_equal(c.read("int32", COUNT), np.arange(COUNT) + 7)
        assert ("version" in board.information().get("host", "")) == (backend == "pyxrt")
        c.free()
        c.free()
    assert virtual.settle()["used_bytes"] == 0


def test_pyxrt_comes_first_where_it_is_installed(virtual: VirtualBoard, backend: str) -> None:
    with Board("0") as board:
        assert board.backend == backend


def test_a_scalar_that_is_real_and_a_unit_by_name(board: Board) -> None:
    x, y = (board.buffer("scale", name, 4 * COUNT) for name in "xy")
    numbers = np.linspace(-3, 5, COUNT, dtype=np.float32)
    x.write(numbers)
    x.to_device()
    for factor in (0.3, -2, np.float32(1e-3)):
        board.run("scale:{scale_1}", x, y, factor, COUNT)
        y.from_device()
        assert_array_equal(y.read("float32", COUNT), numbers * np.float32(factor))


def test_scalars_for_pyxrt() -> None:
    """It takes a C int only, and copies its bits."""
    assert [_as_c_int(value, 4) for value in (0, 2**31 - 1, 2**31, 2**32 - 1)] == [0, 2**31 - 1, -(2**31), -1]
    assert _as_c_int(2**64 - 1, 8) == -1
    assert _as_c_int(1.0, 4) == 0x3F800000
    assert _as_c_int(-2.0, 8) == 0xC000000000000000 - 2**64


def test_parts_of_buffers(board: Board) -> None:
    buffer = board.buffer_in(5, 100)
    buffer.write(np.arange(100, dtype=np.uint8))
    buffer.write(np.array([255, 254], np.uint8), offset=98)
    assert_array_equal(buffer.read("uint8", (2, 2), offset=96), [[96, 97], [255, 254]])
    assert repr(buffer) == "Buffer(100 bytes in bank 5)"
    buffer.free()
    assert repr(buffer) == "Buffer(100 bytes in bank 5, freed)"


def test_a_buffer_has_two_halves(board: Board) -> None:
    """Nothing but a sync copies between them: neither a write nor a run."""
    a, b, c = vectors(board)
    c.write(np.full(COUNT, -1, np.int32))
    board.run("vector_add", a, b, c, COUNT)
    assert_array_equal(c.read("int32", COUNT), np.full(COUNT, -1))  # not synced back
    a.write(np.zeros(COUNT, np.int32))  # not synced to the device
    board.run("vector_add", a, b, c, COUNT)
    c.from_device()
    assert_array_equal(c.read("int32", COUNT), np.arange(COUNT) + 7)


# --- layers --------------------------------------------------------------------------------------------------------


def varied_graph() -> Graph:
    """Convolutions with stride, padding, dilation, groups; one that is depthwise; a linear layer with ReLU."""
    builder = GraphBuilder("varied")
    numbers = np.random.default_rng(3)
    x = builder.node("quantize", "quant", [builder.input((2, 4, 9, 8))], QuantParams.uint8(0.02, 131))
    for index, (out, kernel, stride, padding, dilation, groups, relu) in enumerate(
        [
            (6, (3, 2), (2, 1), (1, 2), (1, 1), 2, True),
            (6, (3, 3), (1, 1), (2, 1), (2, 1), 6, False),
            (5, (1, 1), (1, 2), (0, 0), (1, 1), 1, False),
        ]
    ):
        channels = builder.values[x].spec.shape[1]
        weight = numbers.integers(-128, 128, (out, channels // groups, *kernel)).astype(np.int8)
        attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "relu": relu}
        scale = numbers.uniform(0.002, 0.004, out).astype(np.float32)
        bias = numbers.normal(0, 0.3, out).astype(np.float32)
        grid = QuantParams.uint8(0.03, 0 if relu else 117)
        x = builder.weighted("conv2d", f"conv{index}", x, weight, scale, bias, grid, attributes)
    pooled = builder.node("global_avg_pool", "pool", [x], builder.values[x].quant)
    flat = builder.node("reshape", "flatten", [pooled], builder.values[x].quant, {"shape": (2, 5)})
    weight = numbers.integers(-128, 128, (7, 5)).astype(np.int8)
    bias = numbers.normal(0, 0.3, 7).astype(np.float32)
    grid = QuantParams.uint8(0.02, 40)
    fc = builder.weighted("linear", "fc", flat, weight, np.full(7, 0.004, np.float32), bias, grid, {"relu": True})
    return builder.finish([builder.node("dequantize", "dequant", [fc], None, dtype="float32")])


@pytest.mark.parametrize("graph", [residual_graph(2), varied_graph()], ids=lambda graph: str(graph.name))
def test_layers_equal_the_interpreter(board: Board, graph: Graph) -> None:
    tensors = trace(graph, example_input(graph))
    layers = [node for node in graph if node.op in ("conv2d", "linear")]
    assert len(layers) >= 3
    for node in layers:
        x = tensors[node.inputs[0]]
        assert compare_layer(board, graph, node.name, x), node.name
        assert np.unique(run_layer(board, graph, node.name, x)).size > 3


def test_a_missed_sync_is_caught(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = residual_graph()
    x = trace(graph, example_input(graph))["quant"]
    assert compare_layer(board, graph, "stem", x)
    for direction in ("to_device", "from_device"):
        with monkeypatch.context() as patch:
            patch.setattr(Buffer, direction, lambda self: None)
            try:
                diff = compare_layer(board, graph, "stem", x)
            except DeviceRunError:
                assert direction == "to_device"  # the kernel was given settings that are none
                continue
        assert not diff
        assert diff.first is not None
        assert diff.first.name == "stem"
    # of the weights alone: the device then has zeros, and every result is the bias
    real = Buffer.to_device
    weights = graph.constants["stem.weight"].nbytes
    monkeypatch.setattr(Buffer, "to_device", lambda self: None if self.size_bytes == weights else real(self))
    diff = compare_layer(board, graph, "stem", x)
    assert not diff
    assert diff.correct_ratio < 0.5


def test_a_wrong_result_is_caught(virtual: VirtualBoard, board: Board) -> None:
    graph = residual_graph()
    x = trace(graph, example_input(graph))["quant"]
    virtual.inject(Fault.WRONG_RESULT)
    diff = compare_layer(board, graph, "stem", x)
    assert diff.first is not None
    assert (diff.first.mismatches, diff.first.first_index, diff.max_abs_diff) == (1, (0, 0, 0, 0), 1)
    assert compare_layer(board, graph, "stem", x)


def test_programs() -> None:
    graph = residual_graph()
    data = encode_program(graph)
    again = decode_program(data)
    assert again.sha256 == graph.sha256
    assert encode_program(again) == data
    with pytest.raises(DeployFormatError) as caught:
        decode_program(bytes(100))
    assert str(caught.value) == (
        "the program in the board's memory begins with b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00', expected "
        "b'ECTGRAPH'"
    )


def test_what_the_driver_does_not_tell_is_asked_of_xrt(
    virtual: VirtualBoard, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ectoolkit.devices.xrt.health.subdevice", lambda function, name: None)
    with Board("0", backend=backend) as board:
        health = board.health()
    shown = {name: str(health[name]) for name in ("FPGA temperature", "power", "VCCINT", "VCCINT current", "12 V PEX")}
    unknown = "not known: the driver shows no such sensor"
    if backend == "ctypes":
        assert shown == {name: f"{name}: {unknown}" for name in shown}
        return
    assert shown == {
        "FPGA temperature": "FPGA temperature: 47 °C",
        "power": "power: 13.5 W",
        "VCCINT": "VCCINT: 0.85 V",
        "VCCINT current": f"VCCINT current: {unknown}; XRT: it says 'N/A'",
        "12 V PEX": f"12 V PEX: {unknown}; XRT: sysfs failed",
    }
    assert health["HBM temperature"].reason == "the driver shows no such sensor; XRT: the sensor is not present"
    assert health["12 V PEX current"].value == 1.2


def test_memory_in_use(virtual: VirtualBoard, deployment: Deployment) -> None:
    """What is loaded and what its buffers take is told as the driver tells it."""
    with ect.open_device("xrt:0") as device:
        device.run(deployment)
        health = read_health("0")
        assert health.xclbin == str(read_xclbin(virtual.xclbin).uuid) == virtual.summary()["loaded"]
        used = health["memory in use"].value
        assert used is not None
        assert used * 2**20 == virtual.summary()["used_bytes"] > deployment.manifest.inputs[0].size_bytes
    virtual.settle()
    assert read_health("0")["memory in use"].value == 0


# --- two users -----------------------------------------------------------------------------------------------------


def test_two_programs_share_a_board(virtual: VirtualBoard, board: Board, tmp_path: Path) -> None:
    a, b, c = vectors(board)
    board.run("vector_add", a, b, c, COUNT)
    with Board("0", backend="ctypes") as other:
        other.load(virtual.xclbin)
        x, y, z = vectors(other)
        assert len(other.run_many("vector_add", (x, y, z, COUNT), 20, depth=3).seconds) == 20
        z.from_device()
        assert_array_equal(z.read("int32", COUNT), np.arange(COUNT) + 7)
        with pytest.raises(BoardBusyError):
            board.run("vector_add", a, b, c, COUNT, exclusive=True)
        # the child knows a buffer by a number, which another's may have too
        assert x.handle == a.handle
        with pytest.raises(KernelArgumentError) as caught:
            board.run("vector_add", x, b, c, COUNT)
        assert str(caught.value) == (
            "argument 0 (a) of kernel vector_add: the buffer is another Board's (xrt:0). Make one with this one's "
            "buffer('vector_add', 'a', size_bytes)"
        )
        # another design, while this one is in use
        design = write_xclbin(tmp_path / "other.xclbin", [spec for spec, _ in KERNELS.values()], uid=uuid.UUID(int=1))
        with pytest.raises(BoardBusyError) as caught:
            other.load(design)
    assert str(caught.value) == (
        "xrt:0 could not load other.xclbin: another process uses the board or this compute unit (XRT: failed to load "
        "xclbin: Device or resource busy). Wait for it or end it; `xbutil examine --device 0000:e0:00.1` shows who it "
        "is"
    )
    assert "Xclbin on card is in use, can't change." in caught.value.log
    assert caught.value.raised == "failed to load xclbin: Device or resource busy"
    virtual.settle(clients=1)
    # the other is gone: now it may be had alone
    board.run("vector_add", a, b, c, COUNT, exclusive=True)


# --- measurements --------------------------------------------------------------------------------------------------


def test_times_and_power(virtual: VirtualBoard, board: Board) -> None:
    a, b, c = vectors(board)
    virtual.delay(0.02)
    for depth in (1, 3):
        times = measure_kernel(board, "vector_add", a, b, c, COUNT, runs=15, depth=depth, warmup=1)
        assert times.latency.runs == 15
        assert times.depth == depth
        assert times.latency.p50_s > 0.02 * depth * 0.9  # the virtual board has one scheduler
        assert times.runs_per_s < 51
        assert times.samples >= 3
        assert times.power_w is not None
        assert 12 < times.power_w <= 31
        assert str(times).endswith(" W (virtual board: sensor values are invented)")


def test_power_of_runs_too_short_to_sample(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ectoolkit.devices.xrt.measure.SAMPLE_S", 60)
    a, b, c = vectors(board)
    times = measure_kernel(board, "vector_add", a, b, c, COUNT, runs=1, warmup=0)
    assert (times.power_w, times.samples, times.reason) == (None, 0, "the runs ended before a first sample")


def test_banks(virtual: VirtualBoard, board: Board) -> None:
    rates = measure_banks(board, size_bytes=1 << 16, repeats=2)
    assert [rate.bank for rate in rates] == [f"HBM[{index}]" for index in range(32)]
    assert all(rate.to_device_gb_s > 0.01 and rate.from_device_gb_s > 0.01 for rate in rates)
    assert virtual.settle(clients=1)["used_bytes"] == 0


# --- deployments ---------------------------------------------------------------------------------------------------


def test_a_run_on_the_device_is_a_run_of_the_kernel(virtual: VirtualBoard, deployment: Deployment) -> None:
    before = virtual.summary()["runs"].get("ectoolkit_graph", 0)
    with ect.open_device("xrt:0000:e0:00.1") as device:
        result = device.run(deployment)
        assert result.device == device.info().name == "xrt:0000:e0:00.1"
        assert ect.compare(result.outputs, deployment.references())
        virtual.inject(Fault.WRONG_RESULT)
        diff = ect.compare(device.run(deployment).outputs, deployment.references())
        assert diff.first is not None
        assert diff.first.mismatches == 1
    assert virtual.summary()["runs"]["ectoolkit_graph"] == before + 2


def test_a_device_tells_kernel_times_and_power(virtual: VirtualBoard, deployment: Deployment) -> None:
    """The kernel alone, timed beside XRT: less than the host waits; and the board's sensors meanwhile."""
    virtual.delay(0.02)
    with ect.open_device("xrt:0", backend="ctypes") as device:
        assert set(device.run(deployment).metrics) == {"kernel_us"}
        found = device.benchmark(deployment, runs=6, warmup=1, depths=(1, 2))
    assert found.notice == "virtual board: sensor values are invented"
    for load in found.loads:
        assert len(load.own["kernel_us"]) == 6
        assert min(load.own["kernel_us"]) >= 20e3
        assert sum(load.own["kernel_us"]) / 1e6 < sum(load.latency.seconds)
        assert 12 < load.sensor_means()["power, W"] <= 31
    assert {"device: kernel_us", "power, W"} <= set(found.to_frame().columns)
