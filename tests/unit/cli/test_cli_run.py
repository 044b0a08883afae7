"""``ectoolkit run``: equal, different, refused."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EQUAL = ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
SHAPE = (1, 16, 16, 16)  # the result, NHWC


def edited(built: Path, at: tuple[int, ...], add: float) -> tuple[np.ndarray, np.float32]:
    """The stored reference with one value changed, and the value that it had."""
    reference = np.fromfile(built / "ref_result_0.bin", "<f4").reshape(SHAPE)
    old = reference[at]
    reference[at] += np.float32(add)
    return reference, old


def test_equal(call: Any, built: Path) -> None:
    result = call("run", built, "--runs", 3)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"deployment: {built} (model, target cpu, {manifest(built)['isa']})"
    assert lines[1] == "device: cpu"
    assert lines[2].startswith("latency over 3 runs: mean ")
    assert lines[3:] == EQUAL
    assert result.stderr == ""


def test_profile(call: Any, built: Path) -> None:
    result = call("run", built, "--runs", 3, "--threads", 1, "--profile")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert re.fullmatch(
        r"profile: \d+ layers in [\d.]+ ms of [\d.]+ ms, 1 thread; roofline \d+ GMAC/s, \d+ GB/s", lines[3]
    )
    assert lines[4].split() == ["layer", "op", "µs", "share", "GMAC/s", "GB/s", "bound", "by", "of", "roofline"]
    assert len(lines) == 5 + int(lines[3].split()[1]) + len(EQUAL)
    result = call("run", built, "--runs", 3, "--device", "interpreter", "--profile")
    assert result.exit_code == 2
    assert result.stderr == "error: interpreter cannot time single layers; use --device cpu\n"


def test_equal_on_the_interpreter_and_with_threads(call: Any, built: Path) -> None:
    result = call("run", built, "--device", "interpreter")
    assert (result.exit_code, result.stdout.splitlines()[3:]) == (0, EQUAL)
    assert "device: interpreter" in result.stdout
    result = call("run", built, "--runs", 1, "--threads", 1)
    assert (result.exit_code, result.stdout.splitlines()[3:]) == (0, EQUAL)


def rounded(value: float) -> float:
    """Nine digits, which tell any float32 from the next."""
    return float(f"{value:.9g}")


@pytest.mark.parametrize("suffix", ["bin", "npy"])
def test_one_value_differs(call: Any, built: Path, tmp_path: Path, suffix: str) -> None:
    at = (0, 3, 5, 7)
    reference, old = edited(built, at, 0.5)
    file = tmp_path / f"edited.{suffix}"
    if suffix == "bin":
        reference.tofile(file)
    else:
        np.save(file, reference)
    result = call("run", built, "--runs", 1, "--reference", file)
    assert result.exit_code == 1
    wanted = float(reference[at])
    assert result.stdout.splitlines()[-1] == (
        f"first difference: dequant[0, 3, 5, 7] is {rounded(float(old))}, expected {rounded(wanted)} (1 of 4096 differ)"
    )
    lines = result.stdout.splitlines()
    assert lines[3] == f"max abs diff: {abs(wanted - float(old)):.9g}"
    assert lines[5] == f"correct ratio: {1 - 1 / 4096:.9g}"


def test_the_first_of_several_differences_is_named(call: Any, built: Path, tmp_path: Path) -> None:
    reference, _ = edited(built, (0, 2, 0, 1), 1)
    reference[0, 9] -= 1
    reference.tofile(tmp_path / "edited.bin")
    result = call("run", built, "--runs", 1, "--reference", tmp_path / "edited.bin")
    assert result.exit_code == 1
    assert "first difference: dequant[0, 2, 0, 1] is " in result.stdout
    assert "(257 of 4096 differ)" in result.stdout


def test_other_input(call: Any, built: Path, case: Path, tmp_path: Path) -> None:
    x = np.load(case / "input.npy")[:, :, ::-1].copy()
    np.save(tmp_path / "nchw.npy", x)
    np.save(tmp_path / "nhwc.npy", x.transpose(0, 2, 3, 1))
    np.ascontiguousarray(x.transpose(0, 2, 3, 1)).tofile(tmp_path / "nhwc.bin")
    for name in ("nchw.npy", "nhwc.npy", "nhwc.bin"):
        result = call("run", built, "--runs", 1, "--input", tmp_path / name)
        assert (result.exit_code, result.stdout.splitlines()[3:]) == (0, EQUAL), result.output
        # another input has another result than the stored one
        stored = built / "ref_result_0.bin"
        assert call("run", built, "--runs", 1, "--input", tmp_path / name, "--reference", stored).exit_code == 1


def test_interpreter_against_itself_is_said(call: Any, built: Path, case: Path) -> None:
    result = call("run", built, "--device", "interpreter", "--runs", 1, "--input", case / "input.npy")
    assert result.exit_code == 0
    assert result.stderr == "note: without --reference, the interpreter is compared with itself\n"


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text()))


FILES = ["deploy.json", "deploy.params", "deploy.so", "input0.bin", "ref_result_0.bin", "manifest.json"]


@pytest.mark.parametrize("command", ["run", "verify"])
@pytest.mark.parametrize("damage", ["truncated", "deleted", "altered"])
@pytest.mark.parametrize("name", FILES)
def test_damaged_file(call: Any, deployment: Path, name: str, damage: str, command: str) -> None:
    file = deployment / name
    data = file.read_bytes()
    if damage == "deleted":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(data[:-1] if name != "manifest.json" else data[: len(data) // 2])
    elif name == "manifest.json":
        file.write_bytes(data.replace(b'"isa": "', b'"isa": "x'))
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    result = call(command, deployment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["run", "verify"])
def test_newer_manifest(call: Any, deployment: Path, command: str) -> None:
    file = deployment / "manifest.json"
    file.write_text(json.dumps(manifest(deployment) | {"format_version": 2, "news": 1}))
    result = call(command, deployment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert str(file) in result.stderr
    assert "2" in result.stderr
    assert "version" in result.stderr


def test_stranger_in_the_directory(call: Any, deployment: Path) -> None:
    (deployment / "notes.txt").write_text("mine")
    result = call("run", deployment)
    assert result.exit_code == 2
    assert "notes.txt is not in manifest.json" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--device", "CPU"],
            "there is no device 'CPU'; there are cpu, interpreter, mera, rpc, xrt. Did you mean 'cpu'?",
        ),
        (
            ["--device", "interpretor"],
            "there is no device 'interpretor'; there are cpu, interpreter, ",
        ),
        (["--device", "interpreter", "--threads", "2"], "--threads is no option of device interpreter; leave it out"),
        (["--threads", "9999"], "threads is 9999, expected 1 to "),
    ],
)
def test_refused(call: Any, built: Path, arguments: list[str], message: str) -> None:
    result = call("run", built, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_refused_files(call: Any, built: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.bin"
    short.write_bytes(b"\0" * 100)
    result = call("run", built, "--reference", short)
    assert result.exit_code == 2
    assert result.stderr == (f"error: {short} has 100 bytes, expected 16384: float32 (1, 16, 16, 16) in NHWC\n")
    result = call("run", built, "--input", tmp_path / "none.npy")
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path / 'none.npy'} is not there; expected a .npy file\n"
    result = call("run", built, "--input", short, "--input", short)
    assert result.exit_code == 2
    assert result.stderr == "error: got 2 file(s) for 1 input(s): input0. Give one for each, in order\n"


def test_no_directory(call: Any, tmp_path: Path) -> None:
    result = call("run", tmp_path / "none")
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: {tmp_path / 'none'} does not exist; expected a deploy directory made by `ectoolkit deploy`\n"
    )


def test_the_limit_is_kept_and_said(call: Any, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ectoolkit.cli.run._TIMING_SECONDS", 0.0)
    result = call("run", built)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[2].startswith("latency over 1 runs: mean ")
    assert result.stderr == "note: 0 s were over before 100 runs were made; --runs 100 takes its time\n"


def test_what_takes_long_is_said_without_a_terminal(call: Any, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ectoolkit.devices.cpu import CpuDevice

    usual = CpuDevice.run

    def slow(self: CpuDevice, *arguments: Any, **options: Any) -> Any:
        time.sleep(0.3)
        return usual(self, *arguments, **options)

    monkeypatch.setattr("ectoolkit.cli.console.SILENCE_S", 0.2)
    monkeypatch.setattr(CpuDevice, "run", slow)
    result = call("run", built, "--runs", 1)
    assert re.match(r"… running on cpu: loading, 0 s so far\n", result.stderr)


def test_a_design_goes_to_the_board(call: Any, built: Path, virtual: Any, tmp_path: Path) -> None:
    none = tmp_path / "none.xclbin"
    for command in (
        ("run", built, "--device", "xrt:0"),
        ("verdict", built, "--device", "cpu", "--device", "xrt:0"),
        ("device", "benchmark", "xrt:0", built),
    ):
        result = call(*command, "--xclbin", none)
        assert (result.exit_code, result.stderr) == (2, f"error: {none} does not exist; expected an .xclbin file\n")
    assert call("run", built, "--device", "xrt:0", "--runs", 1, "--xclbin", virtual.xclbin).exit_code == 0
    for command in (("run", built), ("verdict", built), ("device", "benchmark", "cpu", built)):
        result = call(*command, "--xclbin", none)
        assert result.exit_code == 2
        assert result.stderr.endswith("--xclbin is no option of device cpu; leave it out\n")


def test_a_board_without_a_design(call: Any, built: Path, virtual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ectoolkit.devices.xrt.device.current_host", lambda: virtual.host.__class__())
    result = call("run", built, "--device", "xrt:0")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: xrt:0 needs an xclbin with the kernel ectoolkit_graph to run deployments: give it with --xclbin "
        "design.xclbin. EdgeCortix's own design is opened as 'mera:IP'; for other kernels use "
        "ectoolkit.devices.xrt.Board\n",
    )


def test_what_the_device_measures_stands_apart(call: Any, deployment: Path, virtual: Any) -> None:
    """The kernel's time is no latency, and a virtual board's says nothing of a card."""
    result = call("run", deployment, "--device", "xrt:0", "--runs", "3")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1] == "device: xrt:0"
    assert lines[2].startswith("latency over 3 runs: mean ")
    assert re.fullmatch(r"measured by the device: kernel_us [\d.]+ in the mean", lines[3])
    assert lines[4:] == ["max abs diff: 0", "mean abs diff: 0", "correct ratio: 1"]
    assert result.stderr == "note: virtual board: sensor values are invented\n"
