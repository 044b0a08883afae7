from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from PIL import Image

from ectoolkit.data import IMAGENET, Preprocess, sample_photos
from ectoolkit.errors import InputError

BICUBIC = Preprocess(256, 224, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic")


def torchvision_result(preprocess: Preprocess, image: Image.Image) -> np.ndarray:
    from torchvision import transforms

    chain = transforms.Compose(
        [
            transforms.Resize(preprocess.resize, transforms.InterpolationMode(preprocess.interpolation)),
            transforms.CenterCrop(preprocess.crop),
            transforms.ToTensor(),
            transforms.Normalize(preprocess.mean, preprocess.std),
        ]
    )
    return chain(image.convert("RGB")).numpy()


@pytest.mark.parametrize("preprocess", [IMAGENET, BICUBIC, replace(IMAGENET, resize=232), replace(BICUBIC, crop=255)])
@pytest.mark.parametrize("size", [(512, 512), (451, 300), (300, 451), (223, 1000), (256, 256), (256, 301), (3, 5)])
def test_equals_torchvision_to_the_bit(preprocess: Preprocess, size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    preprocess = replace(preprocess, crop=min(preprocess.crop, preprocess.resize))
    image = Image.fromarray(pixels)
    np.testing.assert_array_equal(preprocess(image), torchvision_result(preprocess, image))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = sample_photos(1).image(0).convert(mode)
    np.testing.assert_array_equal(IMAGENET(image), torchvision_result(IMAGENET, image))


def test_result_is_a_contiguous_writable_float32_chw_array() -> None:
    result = IMAGENET(Image.new("RGB", (300, 300), (255, 0, 0)))
    assert result.dtype == np.float32
    assert result.shape == (3, 224, 224)
    assert result.flags.c_contiguous
    assert result.flags.writeable
    assert result[0, 0, 0] > 2 > -1.5 > result[2, 0, 0]  # red first


def test_hash_is_of_the_settings() -> None:
    assert IMAGENET.sha256 == replace(IMAGENET, mean=list(IMAGENET.mean)).sha256
    # Stored: a manifest written today is compared with one written by a later version.
    assert IMAGENET.sha256 == "995f28f6017648fcc345f4311ba90d9684cb2a347e9f768dbc4bd93832dd3e83"
    others = [
        replace(IMAGENET, resize=232),
        replace(IMAGENET, crop=200),
        replace(IMAGENET, mean=(0.0, 0.0, 0.0)),
        replace(IMAGENET, std=(1.0, 1.0, 1.0)),
        replace(IMAGENET, interpolation="bicubic"),
    ]
    assert len({IMAGENET.sha256, *(other.sha256 for other in others)}) == 6


def test_describe_is_one_line() -> None:
    assert IMAGENET.describe() == (
        "RGB, resize 256 (bilinear), crop 224, scale 1/255, mean 0.485 0.456 0.406, std 0.229 0.224 0.225"
    )


def test_is_frozen_and_checks_its_settings() -> None:
    with pytest.raises(FrozenInstanceError):
        IMAGENET.crop = 3  # type: ignore[misc]
    with pytest.raises(InputError):
        replace(IMAGENET, crop=0)
