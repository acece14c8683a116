"""Images of every type that Python code has, as image sets and as lists of files."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zerolabel import ImageSet, InputError
from zerolabel.data.images import as_image_set, as_list


def drawn(count: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 6, 5, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, pixels in enumerate(drawn()):
        Image.fromarray(pixels).save(tmp_path / f"{place}, a.png")
    return tmp_path


def pixels_of(images: ImageSet) -> list[np.ndarray]:
    return [np.asarray(images.read(i)) for i in range(len(images))]


def same(found: list[np.ndarray], wanted: list[np.ndarray]) -> bool:
    return len(found) == len(wanted) and all(map(np.array_equal, found, wanted))


def test_wide_values_are_read_as_from_files(tmp_path: Path) -> None:
    wide = np.linspace(0, 65535, 30).reshape(5, 6).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    (expected,) = pixels_of(ImageSet.open(tmp_path / "wide.png"))
    for array in (wide, wide / 65535, wide.astype(np.int64), (wide / 65535).astype(np.float32)):
        assert np.array_equal(pixels_of(as_image_set([array]))[0], expected)
    assert np.array_equal(pixels_of(as_image_set([wide > 30000]))[0][..., 0], (wide > 30000) * 255)


def test_opacity_lies_on_white() -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    assert pixels_of(as_image_set(clear))[0].min() == 255
    assert pixels_of(as_image_set([Image.fromarray(clear)]))[0].min() == 255


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "F"]
)
def test_pictures_of_every_mode(mode: str) -> None:
    picture = Image.fromarray(drawn(1)[0])
    picture = picture.convert("RGBA").convert(mode) if mode == "RGBa" else picture.convert(mode)
    (found,) = pixels_of(as_image_set(picture))
    assert found.shape == (6, 5, 3) and found.std() > 20


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (b"bytes", "images of type bytes are not known"),
        ({"a": 1}, "images of type dict are not known"),
        ([None], "image 0 is empty"),
        ([np.zeros((4, 4), np.uint8), float("nan")], "image 1 is empty"),
        ([np.zeros((4, 4), np.uint8), 7], "image 1 is of type int"),
        (np.zeros((9, 64)), "an array of 9 x 64 values is not an image"),
        (np.zeros((9, 3, 8, 8)), "image 0 is an array of float64 of 3 x 8 x 8"),
        ([np.zeros((4, 4), complex)], "image 0 is an array of complex128"),
        (["a.png", "b.png"], "none of 2 files exists, such as a.png"),
        ([Path(__file__).parent, __file__], "is a folder among files"),
        (pd.DataFrame({"path": ["a"], "y": [1]}), "columns path, y is no list of images"),
    ],
)
def test_what_is_no_image_is_one_sentence(images: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        as_image_set(images)


def test_nothing_is_an_empty_set() -> None:
    assert len(as_image_set([])) == len(as_image_set(pd.Series([], dtype=object))) == 0


def test_a_list_of_files_names_them(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copies = tmp_path_factory.mktemp("copies")
    path = as_list(as_image_set(sorted(folder.iterdir())), copies)
    assert same(pixels_of(ImageSet.open(path)), drawn()) and len(list(copies.rglob("*"))) == 2, "no copy of a file"
    assert path == as_list(ImageSet.open(folder), copies), "the same list is written once"


def test_pixels_are_copied_once_by_their_content(tmp_path: Path) -> None:
    path = as_list(as_image_set(drawn()), tmp_path)
    assert same(pixels_of(ImageSet.open(path)), drawn())
    assert as_list(as_image_set(np.stack(drawn())), tmp_path) == path
    assert as_list(as_image_set(drawn(2)), tmp_path) != path


def test_an_image_that_cannot_be_read_keeps_its_place(folder: Path, tmp_path: Path) -> None:
    (folder / "1, a.png").write_bytes(b"no image")
    mixed = as_image_set([drawn()[0], folder / "1, a.png", folder / "missing.png", drawn()[1]])
    listed = ImageSet.open(as_list(mixed, tmp_path / "copies"))
    assert len(listed) == 4 and np.array_equal(listed.read(3), drawn()[1])


@pytest.mark.parametrize("name", ["a.png", "A.JPEG", "no_extension", "two.dots.webp", "a, b.gif"])
def test_one_file_is_a_source(tmp_path: Path, name: str) -> None:
    form = {"A.JPEG": "JPEG", "two.dots.webp": "WEBP", "a, b.gif": "GIF"}.get(name, "PNG")
    Image.fromarray(drawn(1)[0]).save(tmp_path / name, form)
    images = ImageSet.open(tmp_path / name)
    assert images.file_names == (name,) and images.read(0).size == (5, 6) and images.root == tmp_path
