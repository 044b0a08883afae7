"""Deploy directories that the program refuses, and the full text of what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from runner_changes import Run, change_manifest, replace_file

from ectoolkit.core.deployment import load_deployment
from ectoolkit.core.manifest import FileRecord, read_manifest, sha256_of
from ectoolkit.errors import DeployFormatError

Refused = Callable[[], str]

CHECKED = ["deploy.params", "deploy.so", "deploy.json", "input0.bin", "input1.bin"]
EVERY = [*CHECKED, "ref_result_0.bin", "ref_result_1.bin"]


@pytest.mark.parametrize("name", EVERY)
def test_missing_file(deployment: Path, refused: Refused, name: str) -> None:
    path = deployment / name
    size = path.stat().st_size
    path.unlink()
    expected = f"{path} is missing; the manifest lists {size} bytes. Build the directory again"
    assert refused() == expected


@pytest.mark.parametrize("name", EVERY)
def test_truncated_file(deployment: Path, refused: Refused, name: str) -> None:
    path = deployment / name
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    sizes = f"{len(data) - 1} bytes, expected {len(data)}"
    assert refused() == f"{path} is truncated: {sizes}. Build the directory again"
    path.write_bytes(data + b"\0")
    sizes = f"{len(data) + 1} bytes, expected {len(data)}"
    assert refused() == f"{path} is longer than it was built: {sizes}. Build the directory again"


@pytest.mark.parametrize("name", CHECKED)
def test_altered_file(deployment: Path, refused: Refused, name: str) -> None:
    path = deployment / name
    right = sha256_of(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    found, expected = sha256_of(path)[:12], right[:12]
    message = f"{path} was altered: its sha256 is {found}..., expected {expected}.... Build the directory again"
    assert refused() == message


def test_unknown_file(deployment: Path, refused: Refused) -> None:
    (deployment / "notes.txt").touch()
    assert refused() == (
        f"{deployment}/notes.txt is not in manifest.json: the directory was changed after it was built. "
        "Remove the file, or build again"
    )


def test_no_manifest(run: Run, deployment: Path, refused: Refused) -> None:
    (deployment / "manifest.json").unlink()
    rest = "; expected a deploy directory made by ectoolkit.build"
    assert refused() == f"{deployment} has no manifest.json{rest}"
    library = deployment / "deploy.so"
    assert run(library).stderr == f"inference: {library} is a file{rest}\n"
    nowhere = deployment / "nowhere"
    assert run(nowhere).stderr == f"inference: {nowhere} does not exist{rest}\n"


def test_altered_manifest(deployment: Path, refused: Refused) -> None:
    path = deployment / "manifest.json"
    text = path.read_text()
    message = f"{path} was altered: its content does not match its own hash. Build the directory again"
    path.write_text(text.replace('"generic"', '"generiC"'))
    assert refused() == message
    path.write_text(text.replace('"manifest_sha256": "', '"manifest_sha256": "0'))
    assert refused() == message


def test_white_space_in_the_manifest_does_not_matter(run: Run, deployment: Path) -> None:
    path = deployment / "manifest.json"
    path.write_bytes(msgspec.json.format(path.read_bytes(), indent=7).replace(b"\n", b"\r\n\t"))
    load_deployment(deployment)
    assert run(deployment, "--runs=1").returncode == 0


@pytest.mark.parametrize("name", ["manifest.json", "deploy.json"])
def test_not_json(deployment: Path, refused: Refused, name: str) -> None:
    path = deployment / name
    text = path.read_bytes()[:-10]
    path.write_bytes(text) if name == "manifest.json" else replace_file(deployment, name, text)
    message = refused()
    assert message.startswith(f"{path} is not JSON (")
    assert message.endswith("): it is damaged or truncated. Build the directory again")


@pytest.mark.parametrize("text", ["", "[]", "3", "[" * 1_000_000, '{"format": 3}', "\0"])
def test_manifest_that_is_none(deployment: Path, refused: Refused, text: str) -> None:
    (deployment / "manifest.json").write_text(text)
    assert refused().startswith(f"{deployment}/manifest.json is not ")


def test_nested_too_deep(deployment: Path, refused: Refused) -> None:
    """TVM's JSON parser would end the program with a stack overflow."""
    replace_file(deployment, "deploy.json", b'{"a":' * 1_000_000)
    assert refused() == (
        f"{deployment}/deploy.json is not JSON (its brackets do not close): it is damaged or truncated. "
        "Build the directory again"
    )


def test_file_outside_the_directory(deployment: Path, refused: Refused) -> None:
    (deployment.parent / "outside").write_bytes(b"1")
    files = read_manifest(deployment).files
    outside = FileRecord(sha256_of(deployment.parent / "outside"), 1)
    change_manifest(deployment, files=files | {"../outside": outside})
    assert refused() == (
        f"{deployment}/manifest.json lists '../outside', which is not the name of a file in its own "
        "directory. Build the directory again"
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("manifest.json", "ectoolkit-deployment"), ("deploy.json", "ectoolkit-program")]
)
def test_other_format_or_version(deployment: Path, refused: Refused, name: str, expected: str) -> None:
    path = deployment / name
    content = json.loads(path.read_bytes())

    def write(**changes: object) -> None:
        data = json.dumps(content | changes).encode()
        path.write_bytes(data) if name == "manifest.json" else replace_file(deployment, name, data)

    write(format_version=2)
    assert refused() == (
        f"{path} has format version 2; this program reads version 1. "
        "Build this program with the ectoolkit that made the directory, or make the directory again"
    )
    if name == "deploy.json":
        write(format="onnx")
        assert refused() == f"{path} is not an {expected} file: its format is 'onnx'"


def test_missing_cpu_feature(deployment: Path, refused: Refused) -> None:
    change_manifest(deployment, isa="future", cpu_features=("sse2", "avx9", "amx_int2"))
    assert refused() == (
        f"{deployment}/deploy.so is built for isa future and this CPU lacks: avx9, amx_int2. "
        "Build the directory for this machine's isa, or run it on a CPU that has it"
    )


def test_other_machine(deployment: Path, refused: Refused) -> None:
    change_manifest(deployment, host_arch="riscv64")
    assert refused() == (
        f"{deployment}/deploy.so is built for riscv64 and this machine is x86_64. "
        "Run it on such a machine, or build it for this one"
    )


def test_other_target(deployment: Path, refused: Refused) -> None:
    change_manifest(deployment, target="mera")
    assert refused() == (
        f"{deployment}/deploy.so is built for target mera; this program runs target cpu. "
        "Run it with ectoolkit and a device of that target"
    )


def test_library_that_does_not_load(deployment: Path, refused: Refused) -> None:
    replace_file(deployment, "deploy.so", b"not a library")
    message = refused()
    assert message.startswith(f"cannot load {deployment}/deploy.so: ")
    assert message.endswith(
        ". It was made with apache-tvm 0.27; "
        "build the directory again with the apache-tvm that this program was built with"
    )


@pytest.mark.parametrize("tail", [b"", b"\xff" * 8])
def test_parameters_that_do_not_load(deployment: Path, refused: Refused, tail: bytes) -> None:
    replace_file(deployment, "deploy.params", (deployment / "deploy.params").read_bytes()[:16] + tail)
    message = refused()
    assert message.startswith(f"cannot prepare the parameters of {deployment}/deploy.params: ")
    assert message.endswith(". Build the directory again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": "mian"}, "deploy.so has no function 'mian'. Build the directory again"),
        ({"prepare": "nothing"}, "deploy.so has no function 'nothing'. Build the directory again"),
        (
            {"parameters": ["w", "c"]},
            "deploy.params has no parameter 'c', which deploy.json names. Build the directory again",
        ),
        (
            {"parameters": "w"},
            "deploy.json is not valid: 'program.parameters' is not a list. Build the directory again",
        ),
        (
            {"run": None},
            "deploy.json is not valid: 'program.run' is not a string. Build the directory again",
        ),
    ],
)
def test_program_that_does_not_fit(deployment: Path, refused: Refused, change: dict[str, object], message: str) -> None:
    content = json.loads((deployment / "deploy.json").read_bytes())
    content["program"] |= change
    replace_file(deployment, "deploy.json", json.dumps(content).encode())
    assert refused() == f"{deployment}/{message}"


def test_too_few_parameters(deployment: Path, refused: Refused) -> None:
    content = json.loads((deployment / "deploy.json").read_bytes())
    content["program"]["parameters"] = ["w"]
    replace_file(deployment, "deploy.json", json.dumps(content).encode())
    assert refused().startswith(f"cannot prepare the parameters of {deployment}/deploy.params: ")


def test_output_of_another_shape(deployment: Path, refused: Refused) -> None:
    scores, boxes = read_manifest(deployment).outputs
    flat = msgspec.structs.replace(scores, shape=(1, 3, 2, 4))
    change_manifest(deployment, outputs=(flat, boxes))
    assert refused() == (
        f"{deployment}/deploy.so returned float32 [1, 2, 3, 4] for scores, expected float32 [1, 3, 2, 4]. "
        "Build the directory again"
    )
    change_manifest(deployment, outputs=(scores,))
    assert refused() == (f"{deployment}/deploy.so returned 2 tensors, expected a list of 1. Build the directory again")


def test_input_of_another_shape(deployment: Path, refused: Refused) -> None:
    x, y = read_manifest(deployment).inputs
    change_manifest(deployment, inputs=(msgspec.structs.replace(x, shape=(1, 3, 2, 4)), y))
    message = refused()
    assert message.startswith(f"{deployment}/deploy.so failed while running: ")
    assert "shape[1] mismatch" in message
    assert message.endswith("constant. Build the directory again")
    change_manifest(deployment, inputs=(msgspec.structs.replace(x, shape=(1, 2, 3)), y))
    assert refused() == (
        f"{deployment}/manifest.json lists 96 bytes for input0.bin, expected 24: float32 [1, 2, 3]. "
        "Build the directory again"
    )


def test_python_refuses_the_same(deployment: Path) -> None:
    """One directory, one judgement: what the program refuses by hash, `load_deployment` refuses too."""
    (deployment / "deploy.json").write_text("{}")
    with pytest.raises(DeployFormatError, match=r"deploy\.json is truncated"):
        load_deployment(deployment)
