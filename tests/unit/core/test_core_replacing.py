"""What a build may replace, the modes of what is written, and home folders in graph paths."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ectoolkit.core.atomic import replacing_file, replacing_folder, require_replaceable
from ectoolkit.core.deployment import is_deployment
from ectoolkit.core.graph_file import load_graph, save_graph
from ectoolkit.errors import DeployFormatError, InputError
from ectoolkit.testing.networks import residual_graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deploy directory of a later version: only its names are looked at."""
    path = tmp_path / "deploy"
    path.mkdir()
    content = {"format": "ectoolkit-deployment", "format_version": 9, "files": {"weights.bin": {}}}
    (path / "manifest.json").write_text(json.dumps(content))
    for name in ("deploy.so", "deploy.json", "deploy.params", "input0.bin", "ref_result_12.bin", "weights.bin"):
        (path / name).touch()
    return path


def test_a_deploy_directory_of_any_version(folder: Path) -> None:
    assert is_deployment(folder)
    assert require_replaceable(folder, is_deployment, "deploy directory") == folder


@pytest.mark.parametrize("content", ['{"name": "my web app"}', '{"format": "mera"}', "[]", "{", "", "[" * 100_000])
def test_somebody_elses_manifest(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    assert not is_deployment(folder)
    before = sorted(folder.iterdir())
    with pytest.raises(InputError) as caught, replacing_folder(folder, is_deployment, "deploy directory"):
        raise AssertionError("must be refused before anything is written")
    assert str(caught.value) == (
        f"{folder} holds other files and is not a deploy directory, so it will not be replaced. Choose another name "
        "or empty it"
    )
    assert sorted(folder.iterdir()) == before


def test_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert not is_deployment(folder)
    (folder / "manifest.json").mkdir()
    assert not is_deployment(folder)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "deploy.so.bak", "input_mine.bin", "sub/"])
def test_a_users_file_in_a_deploy_directory(folder: Path, name: str) -> None:
    (folder / name).mkdir() if name.endswith("/") else (folder / name).touch()
    (folder / "zzz.txt").touch()
    with pytest.raises(InputError) as caught, replacing_folder(folder, is_deployment, "deploy directory"):
        raise AssertionError("must be refused before anything is written")
    assert str(caught.value) == (
        f"{folder} is a deploy directory that also holds {name.rstrip('/')}, which is not part of it and would be "
        "lost, so it will not be replaced. Move that away, or choose another name"
    )
    assert (folder / name).exists()


def test_a_folder_of_a_listed_name(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()
    with pytest.raises(InputError, match=r"also holds weights\.bin, which is not part of it"):
        is_deployment(folder)


@pytest.fixture(params=[0o022, 0o077, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_modes_follow_the_umask(tmp_path: Path, umask: int) -> None:
    for _ in range(2):  # made, then replaced
        with replacing_file(tmp_path / "file") as temporary:
            temporary.write_text("text")
        with replacing_folder(tmp_path / "out", lambda folder: True, "folder") as temporary:
            (temporary / "file").touch()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o777 & ~umask
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_a_graph_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    graph = residual_graph()
    assert save_graph(graph, "~/a.ectgraph") == tmp_path / "a.ectgraph"
    assert load_graph("~/a.ectgraph").sha256 == graph.sha256
    with pytest.raises(DeployFormatError) as caught:
        load_graph("~/b.ectgraph")
    assert str(caught.value) == f"{tmp_path / 'b.ectgraph'} is not there; expected a graph file written by save_graph"
