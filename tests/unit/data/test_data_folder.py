from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ectoolkit.data import IMAGENET, image_folder
from ectoolkit.errors import InputError


def picture(path: Path, colour: tuple[int, int, int] = (10, 20, 30), size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def test_recursive_sorted_and_named_by_path(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/z.jpg", "a/y.webp", "c.jpeg", "a.bmp", ".hidden.png", ".cache/q.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    images = image_folder(tmp_path, IMAGENET)
    assert images.names == ["a.bmp", "a/y.webp", "a/z.jpg", "b.PNG", "c.jpeg"]
    assert images.labels == [None] * 5
    assert images.batch().shape == (5, 3, 224, 224)


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    picture(tmp_path / "calib" / "one.png")
    assert image_folder("~/calib").names == ["one.png"]


def test_labels_are_read_from_folders(tmp_path: Path) -> None:
    for folder in ("243", "bull mastiff", "Folding_Chair", "012"):
        picture(tmp_path / folder / "x.png")
    assert dict(zip(image_folder(tmp_path, labels="folder").names, (12, 243, 559, 243), strict=True)) == {
        "012/x.png": 12,
        "243/x.png": 243,
        "Folding_Chair/x.png": 559,
        "bull mastiff/x.png": 243,
    }
    assert image_folder(tmp_path, labels="folder").labels == [12, 243, 559, 243]


def test_labels_have_imagenets_names_only_where_a_folder_has_one(tmp_path: Path) -> None:
    for folder in ("3", "9"):
        picture(tmp_path / folder / "x.png")
    digits = image_folder(tmp_path, labels="folder")._repr_html_()
    assert "<br>3<" in digits
    assert "<br>9<" in digits
    picture(tmp_path / "bull mastiff" / "x.png")
    known = image_folder(tmp_path, labels="folder")._repr_html_()
    assert "<br>243 bull mastiff<" in known
    assert "<br>9 ostrich<" in known


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert image_folder(tmp_path).image(0).size == (30, 40)


def test_modes_that_pil_converts_badly(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0x8000, np.uint16)).save(tmp_path / "a16bit.png")
    palette = Image.new("P", (4, 4))
    palette.putpalette([200, 100, 50] * 256)
    palette.save(tmp_path / "palette.png", transparency=b"\x00\x7f")
    images = image_folder(tmp_path)
    assert images.image(0).getpixel((0, 0)) == (128, 128, 128)
    assert images.image(1).getpixel((0, 0)) == (200, 100, 50)


def test_a_truncated_file_is_found_when_it_is_decoded(tmp_path: Path) -> None:
    whole = picture(tmp_path / "cut.png", size=(400, 300))
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(whole)
    whole.write_bytes(whole.read_bytes()[:5000])
    images = image_folder(tmp_path, IMAGENET)
    with pytest.raises(InputError, match=r"cut\.png"):
        images[0]
    assert "Cannot read the image" in images._repr_html_()


def test_deleting_a_file_later_is_a_clear_error(tmp_path: Path) -> None:
    file = picture(tmp_path / "one.png")
    images = image_folder(tmp_path, IMAGENET)
    file.unlink()
    with pytest.raises(InputError, match=r"one\.png"):
        images.batch()
