import io
import os
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from zerolabel.data.images import ImageSet, Unreadable, decode, pixels, resize, sha256
from zerolabel.errors import InputError

PHOTO = Image.fromarray(load_sample_images().images[0]).resize((64, 48))


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of a few bytes whose header promises 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    (root / "b" / "deep").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for name in ("z.PNG", "a.jpg", "b/deep/c.WebP", "b/é ü.bmp", ".x.png", ".hidden/y.png"):
        suffix = name.rpartition(".")[2].upper().replace("JPG", "JPEG")
        (root / name).write_bytes(encoded(PHOTO, suffix))
    (root / "notes.txt").write_text("no image")
    (root / "labels.csv").write_text("file_name\na.jpg")
    return root


def test_folder_is_searched_at_every_depth_in_sorted_order(folder):
    images = ImageSet.open(folder)
    assert images.file_names == ("a.jpg", "b/deep/c.WebP", "b/é ü.bmp", "z.PNG")
    assert len(images) == 4
    assert images.path(1) == folder / "b" / "deep" / "c.WebP"
    assert images.select(torch.tensor([3, 0])).file_names == ("z.PNG", "a.jpg")
    assert images.select([]).file_names == ()


@pytest.mark.parametrize("form", ["txt", "csv", "tsv", "parquet", "headless.csv", "first.csv"])
def test_lists_keep_their_order_and_name_each_file_once(folder, form):
    names = ["z.PNG", "b/é ü.bmp", "a.jpg", "z.PNG", str(folder / "a.jpg")]
    path = folder / f"list.{form}"
    table = pd.DataFrame({"note": "x,y", "file_name": names})
    if form == "txt":
        path.write_text("\n".join(names) + "\n\n", encoding="utf-8-sig")
    elif form == "parquet":
        table.to_parquet(path)
    elif form == "headless.csv":
        path.write_text("\n".join(f'{name},"n, o"' for name in names))
    elif form == "first.csv":
        pd.DataFrame({"image": names, "file": "q"}).to_csv(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if form == "tsv" else ",")
    assert ImageSet.open(path).file_names == ("z.PNG", "b/é ü.bmp", "a.jpg")


def test_bad_sources_are_one_sentence(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.txt").write_text("\n")
    (tmp_path / "gone.txt").write_text("nowhere.png\nalso.png")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "notes.docx").write_bytes(b"PK")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe\xe9\n")
    for source, message in {
        "nowhere": "folder or list of images .*nowhere",
        "empty": "no image in the folder .*empty",
        "empty/x.txt": "names no image",
        "gone.txt": "no file that .*gone.txt lists exists, such as nowhere.png",
        "notes.docx": "is neither an image, a folder nor a list",
        "broken.parquet": "broken.parquet cannot be read",
        "latin.txt": "latin.txt cannot be read",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            ImageSet.open(tmp_path / source)
        assert "\n" not in str(caught.value)


def test_orientation_is_applied():
    tall = Image.new("RGB", (4, 8), "red")
    tall.paste("blue", (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise makes it upright
    upright = decode(encoded(tall, "PNG", exif=exif))
    assert upright.size == (8, 4)
    assert upright.getpixel((7, 0)) == (0, 0, 255)
    assert upright.getpixel((0, 0)) == (255, 0, 0)


def test_transparency_is_laid_on_white():
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (10, 20, 30, 255))
    image = decode(encoded(clear, "PNG"))
    assert (image.getpixel((0, 0)), image.getpixel((1, 0))) == ((255, 255, 255), (10, 20, 30))
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([9, 9, 9])
    assert decode(encoded(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)
    assert decode(encoded(palette, "GIF")).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(form):
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    image = decode(encoded(Image.fromarray(values), form))
    assert [image.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_floats_and_wide_integers():
    ramp = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    assert np.asarray(decode(encoded(Image.fromarray(ramp), "TIFF")))[0, :, 0].tolist() == [0, 128, 255, 0]
    eight = np.array([[0, 7, 255]], dtype=np.int32)
    assert np.asarray(decode(encoded(Image.fromarray(eight), "TIFF")))[0, :, 0].tolist() == [0, 7, 255]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(mode):
    source = PHOTO.convert(mode)
    form = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    image = decode(encoded(source, form))
    assert (image.mode, image.size) == ("RGB", (64, 48))
    if mode != "1":
        gray = lambda i: np.asarray(i.convert("L"), dtype=float)  # noqa: E731
        assert abs(gray(image) - gray(PHOTO)).mean() < 12


def test_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (3, 3), color) for color in ("lime", "red")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).getpixel((1, 1)) == (0, 255, 0)


def test_damaged_files_say_why(folder):
    jpeg = encoded(PHOTO, "JPEG")
    for data, reason in {
        b"": "empty",
        b"just text": "not an image",
        jpeg[: len(jpeg) // 2]: "truncated",
        bomb(): "decompression bomb",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n": "not an image",
    }.items():
        with pytest.raises(Unreadable, match=reason) as caught:
            decode(data)
        assert "\n" not in str(caught.value)
    images = ImageSet.open(folder)
    os.remove(folder / "a.jpg")
    with pytest.raises(Unreadable, match="no such file"):
        images.read(0)


def test_the_limit_of_pixels_is_pillows(monkeypatch):
    data = encoded(PHOTO, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48)
    assert decode(data).size == (64, 48)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(Unreadable, match="more than 3071 pixels"):
        decode(data)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
def test_every_damage_to_a_real_file_is_read_or_refused():
    generator = np.random.default_rng(0)
    for form in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"):
        data = np.frombuffer(encoded(PHOTO, form), np.uint8)
        for _ in range(40):
            broken = data.copy()
            broken[generator.integers(0, len(data), 8)] = generator.integers(0, 256, 8)
            try:
                assert decode(broken[: generator.integers(1, len(data) + 1)].tobytes()).mode == "RGB"
            except Unreadable as error:
                assert str(error)


def test_sha256_is_the_standard_one():
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_resize_squashes_without_aliasing():
    stripes = np.zeros((64, 32, 3), np.uint8)
    stripes[::2] = 255
    square = resize(Image.fromarray(stripes), 16)
    assert square.shape == (3, 16, 16)
    assert abs(square[:, 2:-2].astype(int) - 128).max() <= 1
    same = np.asarray(PHOTO.crop((0, 0, 48, 48)))
    assert np.array_equal(resize(Image.fromarray(same), 48), same.transpose(2, 0, 1))


def test_pixels_are_made_once_and_again_only_where_an_image_changed(folder, tmp_path, monkeypatch):
    images, store = ImageSet.open(folder), tmp_path / "cache" / "pixels.npy"
    first = pixels(images, 16, store)
    assert first.shape == (4, 3, 16, 16)
    assert np.array_equal(first[0], resize(images.read(0), 16))
    expected, calls = np.array(first), []
    monkeypatch.setattr(
        "zerolabel.data.images.pixel_cache.resize", lambda image, size: calls.append(1) or resize(image, size)
    )
    assert np.array_equal(pixels(images, 16, store), expected)
    assert calls == []
    (folder / "z.PNG").write_bytes(encoded(PHOTO.rotate(180), "PNG"))
    changed = pixels(images, 16, store)
    assert calls == [1]
    assert np.array_equal(changed[:3], expected[:3])
    assert not np.array_equal(changed[3], expected[3])
    assert pixels(images, 8, store).shape == (4, 3, 8, 8)
    assert len(calls) == 5


def test_pixels_go_on_after_an_interruption(folder, tmp_path, monkeypatch):
    images, store = ImageSet.open(folder), tmp_path / "pixels.npy"
    expected = np.array(pixels(images, 16, tmp_path / "whole.npy"))
    monkeypatch.setattr("zerolabel.data.images.pixel_cache._BLOCK", 2)
    whole = (folder / "z.PNG").read_bytes()
    (folder / "z.PNG").write_bytes(whole[:50])
    with pytest.raises(InputError, match=r"z\.PNG cannot be read"):
        pixels(images, 16, store)
    (folder / "z.PNG").write_bytes(whole)
    calls = []
    monkeypatch.setattr(
        "zerolabel.data.images.pixel_cache.resize", lambda image, size: calls.append(1) or resize(image, size)
    )
    assert np.array_equal(pixels(images, 16, store), expected)
    assert len(calls) == 1


def test_pixels_ignore_a_damaged_store(folder, tmp_path):
    images, store = ImageSet.open(folder), tmp_path / "pixels.npy"
    expected = np.array(pixels(images, 16, store))
    store.write_bytes(b"\x93NUMPY garbage")
    assert np.array_equal(pixels(images, 16, store), expected)
