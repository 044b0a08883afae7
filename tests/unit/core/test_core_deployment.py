"""Every way in which a deploy directory can be wrong is found, and the message names the file and the problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ectoolkit.core.deployment import from_layout, is_deployment, load_deployment, to_layout
from ectoolkit.core.graph_file import graph_to_json
from ectoolkit.core.manifest import FileRecord, Manifest, read_manifest, record_files, sha256_of, tensor_files
from ectoolkit.core.program import Probe, Program, ProgramFile, Step
from ectoolkit.core.types import Layout
from ectoolkit.errors import DeployFormatError, InputError
from ectoolkit.testing.networks import two_ended_graph

GRAPH = two_ended_graph()
SHAPES = {name: GRAPH.values[name].spec.shape for name in (*GRAPH.inputs, *GRAPH.outputs)}
FILES = [
    "deploy.json",
    "deploy.params",
    "deploy.so",
    "input0.bin",
    "input1.bin",
    "ref_result_0.bin",
    "ref_result_1.bin",
]


def arrays(names: tuple[str, ...]) -> list[np.ndarray]:
    numbers = np.random.default_rng(0)
    return [numbers.normal(size=SHAPES[name]).astype(np.float32) for name in names]


PROGRAM = Program(
    "prepare",
    "main",
    ("a", "b"),
    (Step("conv_0", ("conv",)), Step("add_1", ("block", "add"))),
    Probe("peak_macs", 1000, (("uint8", 64), ("int8", 256))),
    Probe("peak_bytes", 2000, (("uint8", 1000),)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory whose library and parameters are only bytes: nothing here runs them."""
    path = tmp_path / "deploy"
    path.mkdir()
    (path / "deploy.so").write_bytes(b"library")
    (path / "deploy.params").write_bytes(b"parameters")
    program = ProgramFile(program=PROGRAM, graph=msgspec.Raw(graph_to_json(GRAPH)))
    (path / "deploy.json").write_bytes(program.to_json())
    inputs = tensor_files(GRAPH.inputs, [SHAPES[n] for n in GRAPH.inputs], Layout.NHWC, "input{}.bin")
    outputs = tensor_files(GRAPH.outputs, [SHAPES[n] for n in GRAPH.outputs], Layout.NHWC, "ref_result_{}.bin")
    given = (*arrays(GRAPH.inputs), *arrays(GRAPH.outputs))
    for tensor, array in zip((*inputs, *outputs), given, strict=True):
        to_layout(array, tensor.layout).astype("<f4").tofile(path / tensor.file)
    manifest = Manifest(
        name="two_ended",
        target="cpu",
        platform="",
        host_arch="x86_64",
        isa="generic",
        cpu_features=(),
        tools={"ectoolkit": "0"},
        model_sha256="",
        calibration_sha256="",
        graph_sha256=GRAPH.sha256,
        quantization_sha256=GRAPH.quantization_sha256,
        inputs=inputs,
        outputs=outputs,
        files=record_files(path),
    )
    (path / "manifest.json").write_bytes(manifest.sealed().to_json())
    return path


def change_manifest(folder: Path, **changes: Any) -> None:
    """As a builder would have written it: sealed again."""
    manifest = msgspec.structs.replace(read_manifest(folder), **changes)
    (folder / "manifest.json").write_bytes(manifest.sealed().to_json())


def replace_file(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    files = read_manifest(folder).files | {name: FileRecord(sha256_of(folder / name), len(data))}
    change_manifest(folder, files=files)


def message_of(call: Callable[[], object]) -> str:
    with pytest.raises(DeployFormatError) as caught:
        call()
    return str(caught.value)


def refused(folder: Path) -> str:
    return message_of(lambda: load_deployment(folder))


# --- a good one ----------------------------------------------------------------------------------------------------


def test_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = load_deployment(folder)
    assert deployment.path == folder
    assert repr(deployment) == f"Deployment('{folder}', two_ended, target=cpu)"
    assert list(deployment.manifest.files) == FILES
    assert deployment.program() == PROGRAM
    assert deployment.graph(dict(GRAPH.constants)).sha256 == GRAPH.sha256
    monkeypatch.chdir(folder.parent)
    assert load_deployment("deploy").path == folder
    assert is_deployment(folder)
    assert not is_deployment(folder.parent)


def test_tensors_are_in_the_stated_layout(folder: Path) -> None:
    deployment = load_deployment(folder)
    inputs = deployment.manifest.inputs
    assert [(t.name, t.shape, t.layout) for t in inputs] == [
        ("left", (1, 4, 5, 3), Layout.NHWC),
        ("right", (1, 4, 5, 2), Layout.NHWC),
    ]
    assert [(t.shape, t.layout) for t in deployment.manifest.outputs] == [
        ((1, 4, 5, 3), Layout.NHWC),
        ((1, 3), Layout.NC),
    ]
    assert [t.graph_spec for t in inputs] == [GRAPH.values[name].spec for name in GRAPH.inputs]
    for found, tensor, expected in zip(deployment.inputs(), inputs, arrays(GRAPH.inputs), strict=True):
        assert_array_equal(from_layout(found, tensor.layout), expected)
    image, scores = deployment.references()
    assert_array_equal(from_layout(image, Layout.NHWC), arrays(GRAPH.outputs)[0])
    assert_array_equal(scores, arrays(GRAPH.outputs)[1])


def test_runs_split_batches(folder: Path) -> None:
    left, right = (np.concatenate([a, a + 1]) for a in arrays(GRAPH.inputs))
    first, second = load_deployment(folder).runs({"right": right, "left": left})
    assert_array_equal(first[0], left[:1].transpose(0, 2, 3, 1))
    assert_array_equal(second[1], right[1:].transpose(0, 2, 3, 1))
    with pytest.raises(InputError, match=r"two_ended takes 2 input\(s\), got 1"):
        load_deployment(folder).runs(left)


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_missing_file(folder: Path, name: str) -> None:
    size = (folder / name).stat().st_size
    (folder / name).unlink()
    assert refused(folder) == f"{folder / name} is missing; the manifest lists {size} bytes. Build it again"


@pytest.mark.parametrize("name", FILES)
def test_truncated_file(folder: Path, name: str) -> None:
    data = (folder / name).read_bytes()
    for cut in (data[:-1], b""):
        (folder / name).write_bytes(cut)
        expected = f"{folder / name} is truncated: {len(cut)} bytes, expected {len(data)}. Build it again"
        assert refused(folder) == expected
    (folder / name).write_bytes(data + b"\0")
    assert refused(folder) == (
        f"{folder / name} is longer than it was built: {len(data) + 1} bytes, expected {len(data)}. Build it again"
    )


@pytest.mark.parametrize("name", FILES)
def test_altered_file(folder: Path, name: str) -> None:
    before = sha256_of(folder / name)
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    after = sha256_of(folder / name)
    assert refused(folder) == (
        f"{folder / name} was altered: its sha256 is {after[:12]}…, expected {before[:12]}…. Build it again"
    )


@pytest.mark.parametrize("name", FILES)
def test_file_that_is_a_folder(folder: Path, name: str) -> None:
    size = (folder / name).stat().st_size
    (folder / name).unlink()
    (folder / name).mkdir()
    assert refused(folder) == f"{folder / name} is missing; the manifest lists {size} bytes. Build it again"


@pytest.mark.parametrize("name", ["notes.txt", ".DS_Store"])
def test_unknown_file(folder: Path, name: str) -> None:
    (folder / name).touch()
    assert refused(folder) == (
        f"{folder / name} is not in manifest.json: the directory was changed after it was built. Remove the file, or "
        "build again"
    )


# --- manifest ------------------------------------------------------------------------------------------------------


def test_no_manifest(folder: Path) -> None:
    rest = "; expected a deploy directory made by ectoolkit.build"
    assert refused(folder / "deploy.so") == f"{folder / 'deploy.so'} is a file{rest}"
    assert refused(folder / "nowhere") == f"{folder / 'nowhere'} does not exist{rest}"
    (folder / "manifest.json").unlink()
    assert refused(folder) == (
        f"{folder / 'manifest.json'} is missing, and all else of a deploy directory is there: it was removed or not "
        "copied. Nothing can be checked without it. Copy it too, or build again"
    )
    (folder / "deploy.so").unlink()
    assert refused(folder) == f"{folder} has no manifest.json{rest}"


def test_newer_manifest(folder: Path) -> None:
    """A newer format has fields that this one does not know: its version must be read first."""
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    for version in (2, 0, "1", None):
        path.write_text(json.dumps({**content, "format_version": version, "signature": "x"}))
        assert refused(folder) == (
            f"{path} has format version {version!r}; this ectoolkit reads version 1. Upgrade ectoolkit, or make the "
            "file again with this one"
        )
    path.write_text(json.dumps({**content, "format": "mera"}))
    assert refused(folder) == f"{path} is not an ectoolkit-deployment file: its format is 'mera'"


def test_altered_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    text = path.read_text()
    expected = f"{path} was altered: its content does not match its own hash. Build it again"
    for old, new in (('"generic"', '"avx2"'), ('"x86_64"', '"x86_65"'), ('"size_bytes": 7', '"size_bytes": 8')):
        assert old in text
        path.write_text(text.replace(old, new))
        assert refused(folder) == expected


def test_truncated_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    data = path.read_bytes()
    for size in range(0, len(data) - 2, 37):
        path.write_bytes(data[:size])
        assert refused(folder).startswith(f"{path} is not JSON (")
        assert refused(folder).endswith("): it is damaged or truncated. Make it again")


def test_any_altered_byte_of_the_manifest(folder: Path) -> None:
    """Refused with our error, unless the content is the same (white space was hit)."""
    path, good = folder / "manifest.json", load_deployment(folder).manifest
    data = path.read_bytes()
    numbers = np.random.default_rng(0)
    refusals: list[str] = []
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(numbers.integers(8))
        path.write_bytes(damaged)
        try:
            assert load_deployment(folder).manifest == good
        except DeployFormatError as error:
            refusals.append(str(error))
    assert all(str(path) in text for text in refusals)
    assert len(refusals) > len(data) / 2


def test_manifest_of_other_content(folder: Path) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    again = "Build the directory again"
    path.write_text(json.dumps({**content, "more": 1}))
    assert refused(folder) == (f"{path} is not a valid manifest: Object contains unknown field `more`. {again}")
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "isa"}))
    assert refused(folder) == f"{path} is not a valid manifest: Object missing required field `isa`. {again}"
    path.write_text(json.dumps({**content, "name": float("nan")}))
    text = refused(folder)
    assert text.startswith(f"{path} is not a valid manifest: JSON is malformed")
    path.write_text(json.dumps({**content, "inputs": [{**content["inputs"][0], "layout": "CHWN"}]}))
    assert "Invalid enum value 'CHWN' - at `$.inputs[0].layout`" in refused(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "sub/file", "..", ".", ""])
def test_path_traversal(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"secret")
    files = {**read_manifest(folder).files, name: FileRecord(sha256_of(folder.parent / "secret"), 6)}
    change_manifest(folder, files=files)
    assert refused(folder) == (
        f"{folder / 'manifest.json'} lists {name!r}, which is not a plain file name; do not trust it"
    )


@pytest.mark.parametrize("name", FILES)
def test_manifest_that_lists_too_little(folder: Path, name: str) -> None:
    files = {key: record for key, record in read_manifest(folder).files.items() if key != name}
    change_manifest(folder, files=files)
    assert refused(folder) == (
        f"{folder / 'manifest.json'} does not list {name}, which every deploy directory has. Build it again"
    )


# --- contents ------------------------------------------------------------------------------------------------------


def test_tensor_of_another_size(folder: Path) -> None:
    replace_file(folder, "input1.bin", b"\0" * 12)
    deployment = load_deployment(folder)
    assert message_of(deployment.inputs) == (
        f"{folder / 'input1.bin'} has 12 bytes, expected 160: float32 (1, 4, 5, 2) in NHWC"
    )
    (folder / "ref_result_1.bin").unlink()
    assert message_of(deployment.references) == (
        f"{folder / 'ref_result_1.bin'} is missing; expected 12 bytes of float32 (1, 3)"
    )


def test_program_of_another_kind(folder: Path) -> None:
    path = folder / "deploy.json"
    content = json.loads(path.read_text())

    def text(data: object) -> str:
        replace_file(folder, "deploy.json", data if isinstance(data, bytes) else json.dumps(data).encode())
        deployment = load_deployment(folder)
        found = message_of(deployment.program)
        assert message_of(lambda: deployment.graph({})) == found
        return found

    assert text({**content, "format_version": 2}) == (
        f"{path} has format version 2; this ectoolkit reads version 1. Upgrade ectoolkit, or make the file again with "
        "this one"
    )
    assert text({**content, "format": "other"}) == f"{path} is not an ectoolkit-program file: its format is 'other'"
    assert text(b"{").startswith(f"{path} is not JSON (")
    assert text({**content, "program": {}}) == (
        f"{path} is not valid: Object missing required field `prepare` - at `$.program`. Build the directory again"
    )


def test_damaged_graph(folder: Path) -> None:
    content = json.loads((folder / "deploy.json").read_text())
    content["graph"]["nodes"][0]["op"] = "softmax"
    replace_file(folder, "deploy.json", json.dumps(content).encode())
    path = folder / "deploy.json"
    text = message_of(lambda: load_deployment(folder).graph(dict(GRAPH.constants)))
    assert text.startswith(f"{path} does not describe a valid graph: layer quant_left uses 'softmax'")
    content.pop("graph")
    replace_file(folder, "deploy.json", json.dumps(content).encode())
    text = message_of(lambda: load_deployment(folder).graph(dict(GRAPH.constants)))
    assert text == f"{path} is not valid: Object missing required field `graph`. Build the directory again"
