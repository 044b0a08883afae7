"""Graph files, and files and folders that appear whole or not at all."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from ectoolkit.core.atomic import replacing_file, replacing_folder
from ectoolkit.core.graph import Graph
from ectoolkit.core.graph_file import graph_from_json, graph_to_json, load_graph, save_graph
from ectoolkit.core.interpreter import interpret
from ectoolkit.errors import DeployFormatError, InputError
from ectoolkit.testing.networks import example_input, residual_graph, two_ended_graph

GRAPH = residual_graph()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_graph(GRAPH, tmp_path / "net.ectgraph")


def refused(path: Path) -> str:
    with pytest.raises(DeployFormatError) as caught:
        load_graph(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.removeprefix(str(path))


def rewrite(path: Path, **files: bytes | None) -> None:
    """Change or remove entries of a graph file; ``graph`` stands for graph.json."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries.update({"graph.json" if name == "graph" else name: data for name, data in files.items()})  # type: ignore[misc]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            if data is not None:
                archive.writestr(name, data)


# --- graph files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [GRAPH, two_ended_graph()], ids=["residual", "two_ended"])
def test_round_trip(graph: Graph, tmp_path: Path) -> None:
    loaded = load_graph(save_graph(graph.replace(origin={"frontend": "test"}), tmp_path / "net"))
    assert (loaded.name, loaded.inputs, loaded.outputs) == (graph.name, graph.inputs, graph.outputs)
    assert loaded.origin == {"frontend": "test"}
    assert loaded.nodes == graph.nodes
    assert loaded.values == graph.values
    assert loaded.sha256 == graph.sha256
    x = example_input(graph)
    for found, expected in zip(interpret(loaded, x), interpret(graph, x), strict=True):
        assert_array_equal(found, expected)


def test_same_bytes_twice(saved: Path, tmp_path: Path) -> None:
    again = save_graph(residual_graph(), tmp_path / "again")
    assert saved.read_bytes() == again.read_bytes()
    assert save_graph(load_graph(again), tmp_path / "third").read_bytes() == saved.read_bytes()


def test_scales_survive_exactly(tmp_path: Path) -> None:
    loaded = load_graph(save_graph(GRAPH, tmp_path / "net"))
    for name, value in GRAPH.values.items():
        if value.quant is not None:
            other = loaded.values[name].quant
            assert other is not None
            assert other.scale.tobytes() == value.quant.scale.tobytes()


def test_no_pickle(saved: Path) -> None:
    data = io.BytesIO()
    np.save(data, np.array([{}], dtype=object), allow_pickle=True)
    rewrite(saved, **{"stem.bias.npy": data.getvalue()})
    assert "Object arrays cannot be loaded when allow_pickle=False" in refused(saved)


def test_missing(tmp_path: Path) -> None:
    expected = " is not there; expected a graph file written by save_graph"
    assert refused(tmp_path / "nowhere") == expected
    assert refused(tmp_path) == expected


def test_not_a_zip(saved: Path) -> None:
    for data in (b"", b"PK", b"this is no zip file"):
        saved.write_bytes(data)
        assert refused(saved) == " is not a graph file or is damaged: File is not a zip file. Save the graph again"


def test_truncated(saved: Path) -> None:
    data = saved.read_bytes()
    for size in range(0, len(data), max(len(data) // 200, 1)):
        saved.write_bytes(data[:size])
        assert "is not a graph file or is damaged" in refused(saved)


def test_altered_bytes_are_refused_or_mean_nothing(saved: Path) -> None:
    """Any byte, any damage: the same graph (a time stamp was hit) or our error, nothing else."""
    data = saved.read_bytes()
    numbers = np.random.default_rng(0)
    refusals: list[str] = []
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(numbers.integers(8))
        saved.write_bytes(damaged)
        try:
            assert load_graph(saved).sha256 == GRAPH.sha256
        except DeployFormatError as error:
            refusals.append(str(error))
    assert all(str(saved) in text for text in refusals)
    assert len(refusals) > len(data) / 2


def test_newer_version(saved: Path) -> None:
    file = json.loads(graph_to_json(GRAPH))
    rewrite(saved, graph=json.dumps({**file, "format_version": 2, "news": 1}).encode())
    assert refused(saved) == (
        " has format version 2; this ectoolkit reads version 1. Upgrade ectoolkit, or make the file again with this one"
    )
    rewrite(saved, graph=json.dumps({**file, "format": "onnx"}).encode())
    assert refused(saved) == " is not an ectoolkit-graph file: its format is 'onnx'"
    rewrite(saved, graph=b"[1]")
    assert refused(saved) == " is not an ectoolkit-graph file: its format is 'list'"


def test_damaged_json(saved: Path) -> None:
    good = graph_to_json(GRAPH)
    for bad in (good[:-1], b"", b"\xff" + good):
        rewrite(saved, graph=bad)
        assert "it is damaged or truncated. Make it again" in refused(saved)
    rewrite(saved, graph=good.replace(b'"name":"residual"', b'"name":NaN'))
    assert " does not describe a valid graph: JSON is malformed" in refused(saved)
    rewrite(saved, graph=good.replace(b'"name":"residual"', b'"name":7'))
    assert refused(saved) == (
        " does not describe a valid graph: Expected `str`, got `int` - at `$.name`. Make it again"
    )
    rewrite(saved, graph=good.replace(b'"origin":{}', b'"origin":{},"more":1'))
    assert " does not describe a valid graph: Object contains unknown field `more`" in refused(saved)


def test_a_graph_that_breaks_a_law(saved: Path) -> None:
    file = graph_to_json(GRAPH).replace(b'"stride":[1,1]', b'"stride":[0,1]', 1)
    rewrite(saved, graph=file)
    assert refused(saved).startswith(" does not describe a valid graph: layer stem (conv2d): stride is (0, 1)")


def test_missing_array(saved: Path) -> None:
    rewrite(saved, **{"stem.bias.npy": None})
    assert refused(saved) == " does not describe a valid graph: 'stem.bias'. Make it again"
    with pytest.raises(DeployFormatError, match=r"deploy\.json does not describe a valid graph"):
        graph_from_json(graph_to_json(GRAPH), {}, "deploy.json")


def test_array_of_another_shape(saved: Path) -> None:
    data = io.BytesIO()
    np.save(data, np.zeros(7, np.int32))
    rewrite(saved, **{"stem.bias.npy": data.getvalue()})
    assert "constant stem.bias is int32 (7,) but described as int32 6 C" in refused(saved)


# --- atomic --------------------------------------------------------------------------------------------------------


class CrashError(Exception):
    pass


def crash() -> None:
    raise CrashError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("first", "second"):
        with replacing_file(path) as temporary:
            temporary.write_text(text)
        assert path.read_text() == text
        assert names(tmp_path) == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_crash_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with replacing_file(path) as temporary:
            temporary.write_text("half of the new")
            crash()

    with pytest.raises(CrashError):
        write()
    assert (path.read_text(), names(tmp_path)) == ("old", ["file"])


def ours(folder: Path) -> bool:
    return (folder / "mark").exists()


def write_folder(path: Path, name: str, *, fail: bool = False) -> None:
    with replacing_folder(path, ours, "test folder") as temporary:
        (temporary / "mark").touch()
        (temporary / name).touch()
        if fail:
            crash()


def test_folder_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("first", "second"):
        write_folder(path, name)
        assert names(path) == sorted(["mark", name])
        assert names(tmp_path) == ["out"]
    assert path.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_folder(tmp_path / "out", "first")
    assert names(tmp_path / "out") == ["first", "mark"]


def test_crash_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(CrashError):
        write_folder(path, "never", fail=True)
    assert names(tmp_path) == []
    write_folder(path, "first")
    with pytest.raises(CrashError):
        write_folder(path, "second", fail=True)
    assert (names(path), names(tmp_path)) == (["first", "mark"], ["out"])


def test_a_failed_swap_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path, real = tmp_path / "out", os.rename
    write_folder(path, "first")

    def rename(source: Path, target: Path) -> None:
        if str(source).endswith(".tmp"):
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(OSError, match="disk full"):
        write_folder(path, "second")
    assert (names(path), names(tmp_path)) == (["first", "mark"], ["out"])


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    (path / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="holds other files and is not a test folder"):
        write_folder(path, "first")
    assert (names(path), names(tmp_path)) == (["thesis.tex"], ["out"])


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    write_folder(target, "first")
    link.symlink_to(target)
    write_folder(link, "second")
    assert link.is_symlink()
    assert names(target) == ["mark", "second"]
    assert names(tmp_path) == ["link", "target"]
