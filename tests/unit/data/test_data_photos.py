from __future__ import annotations

import importlib.util
import socket

import pytest

from ectoolkit.data import image_folder, photos, sample_photos
from ectoolkit.data.sources import FileSource
from ectoolkit.errors import InputError

LABELS = [243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305]


def test_the_labelled_ones() -> None:
    labelled = sample_photos(labelled=True)
    assert labelled.labels == LABELS
    assert labelled.names[0] == "imagenet_00_243"
    assert sample_photos(5, labelled=True).labels == LABELS[:5]


def test_the_default_is_32_and_labelled_ones_come_first() -> None:
    chosen = sample_photos()
    assert len(chosen) == 32
    assert chosen.labels == LABELS + [None] * 12
    assert chosen.names[20:28] == [
        "astronaut",
        "chelsea",
        "coffee",
        "rocket",
        "motorcycle_left",
        "china",
        "flower",
        "imagenet_00_243, top left",
    ]


def test_all_are_different_and_the_same_every_time() -> None:
    everything = sample_photos(162)
    assert len(set(everything.names)) == 162
    assert sample_photos(64).sha256 == everything[:64].sha256
    hashes = [everything[index : index + 1].sha256 for index in range(20, 60)]
    assert len(set(hashes)) == len(hashes)


def test_variants_are_quarters_and_mirror_images() -> None:
    everything = sample_photos(162)
    whole = everything.image(everything.names.index("chelsea"))
    quarter = everything.image(everything.names.index("chelsea, bottom right"))
    mirrored = everything.image(everything.names.index("chelsea, mirrored"))
    width, height = whole.size
    assert quarter.size == (width - round(width / 2), height - round(height / 2))
    assert quarter.getpixel((3, 4)) == whole.getpixel((round(width / 2) + 3, round(height / 2) + 4))
    assert mirrored.getpixel((0, 7)) == whole.getpixel((width - 1, 7))


def test_never_opens_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    chosen = sample_photos(162)
    for item in chosen.items:
        assert isinstance(item.source, FileSource)
        assert item.source.path.is_file()


def test_a_photo_that_an_installed_version_does_not_ship_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "UNLABELLED", (("sklearn", "datasets/images", ("china.jpg", "gone.jpg")),))
    assert sample_photos(21).names[20] == "china"
    with pytest.raises(InputError, match="126 sample photos"):
        sample_photos(127)


def test_labelled_photos_need_foolbox_only(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in ("skimage", "sklearn") else find_spec(name)
    )
    assert len(sample_photos(labelled=True)) == 20


def test_image_folder_is_reachable_from_here() -> None:
    assert photos.image_folder is image_folder
