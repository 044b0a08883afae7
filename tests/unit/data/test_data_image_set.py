from __future__ import annotations

import base64
import io
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import ectoolkit as ect
from ectoolkit.data import IMAGENET, ImageSet, sample_photos
from ectoolkit.data.thumbnails import thumbnail
from ectoolkit.errors import InputError


@pytest.fixture
def photos() -> ImageSet:
    return sample_photos(6).with_preprocess(IMAGENET)


def arrays(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 3, 8, 9)).astype(np.float32)


def test_index_slice_and_iteration_agree(photos: ImageSet) -> None:
    batch = photos.batch()
    assert batch.shape == (6, 3, 224, 224)
    assert batch.dtype == np.float32
    for index, one in enumerate(photos):
        np.testing.assert_array_equal(one, batch[index])
    np.testing.assert_array_equal(photos[-1], batch[5])
    np.testing.assert_array_equal(photos[np.int64(2)], batch[2])
    assert photos[1:5:2].names == [photos.names[1], photos.names[3]]
    np.testing.assert_array_equal(photos[1:5:2].batch(), batch[[1, 3]])
    assert len(photos[:0]) == 0
    assert list(photos[:0]) == []


_END = st.none() | st.integers(-7, 7)


@given(st.lists(st.builds(slice, _END, _END, st.sampled_from([None, 1, 2, -1])), max_size=4))
def test_the_expression_of_a_part_makes_it_again(parts: list[slice]) -> None:
    found = sample_photos(6)
    for part in parts:
        found = found[part]
    assert eval(found.origin, {"ect": ect}).names == found.names


def test_a_part_of_a_part_is_one_slice() -> None:
    photos = sample_photos(6)
    assert photos[:5][:3].origin == "ect.sample_photos(6)[:3]"
    assert photos[2:][1:3].origin == "ect.sample_photos(6)[3:5]"
    assert photos[2:4][1:9][:].origin == "ect.sample_photos(6)[3:4]"
    assert photos[2:][-1:].origin == "ect.sample_photos(6)[2:][-1:]"


def test_index_outside_the_set(photos: ImageSet) -> None:
    for index in (6, -7):
        with pytest.raises(IndexError, match=re.escape(f"No image {index} in a set of 6.")):
            photos[index]


def test_hash_is_deterministic_and_follows_pixels_order_and_preprocess(photos: ImageSet) -> None:
    assert photos.sha256 == sample_photos(6).with_preprocess(IMAGENET).sha256
    different = {
        photos.sha256,
        photos[::-1].sha256,
        photos[:5].sha256,
        sample_photos(6).sha256,
        photos[:0].sha256,
    }
    assert len(different) == 5


def test_hash_ignores_names_and_labels() -> None:
    plain = ImageSet.from_arrays(arrays())
    assert plain.sha256 == ImageSet.from_arrays(arrays(), names=["a", "b", "c"], labels=[1, 2, None]).sha256
    assert plain.sha256 != ImageSet.from_arrays(arrays() + 1).sha256


def test_from_arrays_keeps_its_own_copy() -> None:
    original = arrays()
    images = ImageSet.from_arrays(original, labels=[4, None, np.int64(5)])
    expected = original.copy()
    original[:] = 0
    images[0][:] = 0  # what indexing gives is the caller's own
    np.testing.assert_array_equal(images.batch(), expected)
    assert images.labels == [4, None, 5]
    assert images.names == ["array_0", "array_1", "array_2"]
    assert images.is_ready
    assert images.image(0).size == (9, 8)


def test_from_arrays_takes_a_tensor_and_constant_pictures_show() -> None:
    import torch

    images = ImageSet.from_arrays(torch.zeros(1, 3, 4, 4))
    assert images[0].shape == (3, 4, 4)
    assert images.image(0).getpixel((0, 0)) == (0, 0, 0)


def test_with_preprocess_leaves_the_original_as_it_was() -> None:
    plain = sample_photos(2)
    ready = plain.with_preprocess(IMAGENET)
    assert ready.preprocess is IMAGENET
    assert ready.is_ready
    assert plain.preprocess is None
    assert not plain.is_ready
    with pytest.raises(InputError):
        next(iter(plain))


def test_iterating_holds_one_image_at_a_time(photos: ImageSet) -> None:
    one = photos[0].nbytes
    tracemalloc.start()
    try:
        for _ in sample_photos(40).with_preprocess(IMAGENET):
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * one


def test_repr_is_one_short_line(photos: ImageSet) -> None:
    assert repr(photos) == "ImageSet(6 images, 6 labelled, preprocessed to 3x224x224)"
    assert repr(sample_photos(21)[20:]) == "ImageSet(1 image, 0 labelled, not preprocessed)"
    assert repr(ImageSet.from_arrays(arrays())) == "ImageSet(3 images, 0 labelled, arrays 3x8x9)"
    assert repr(ImageSet(())) == "ImageSet(0 images, 0 labelled, not preprocessed)"


def test_html_is_a_short_row_of_named_thumbnails() -> None:
    html = sample_photos(32)._repr_html_()
    assert html.count("data:image/jpeg;base64,") == 12
    assert "and 20 more" in html
    assert "imagenet_00_243" in html
    assert "243 bull mastiff" in html
    assert len(html) < 60_000
    assert "more" not in ImageSet.from_arrays(arrays())._repr_html_()


def test_a_tiny_picture_is_enlarged() -> None:
    """Eight by nine pixels become eighty by ninety: what is on it can be seen."""
    address = thumbnail(ImageSet.from_arrays(arrays()).items[0])
    with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as picture:
        assert picture.size == (90, 80)


def test_html_escapes_names_and_names_no_label_of_unknown_classes() -> None:
    html = ImageSet.from_arrays(arrays(1), names=['<b>"x"'], labels=[9])._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "<br>9<" in html
