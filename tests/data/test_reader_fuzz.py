"""Two thousand images and three hundred label files, drawn at random, against what the test itself knows of them."""

import importlib
import io
import unicodedata

import numpy as np
import pytest
import torch
from PIL import Image

from zerolabel.data.classes import Classes
from zerolabel.data.images import Unreadable, decode, resize
from zerolabel.data.label_files import Labels
from zerolabel.data.views import Preprocess
from zerolabel.errors import InputError
from zerolabel.vlms import glyphs

script = importlib.import_module("zerolabel.deployment.predict_onnx")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

WIDE = {
    "8 in 16": (255, np.uint16, "PNG"),
    "10 in 16": (1023, np.uint16, "TIFF"),
    "12 in 16": (4095, np.uint16, "PNG"),
    "16": (65535, np.uint16, "PNG"),
    "8 in 32": (255, np.int32, "TIFF"),
    "12 in 32": (4095, np.int32, "TIFF"),
    "16 in 32": (65535, np.int32, "TIFF"),
    "unit floats": (1, np.float32, "TIFF"),
    "floats": (255, np.float32, "TIFF"),
    "long floats": (4095, np.float32, "TIFF"),
}
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "HSV", "LAB", *WIDE)


def side(random):
    """Mostly small, now and then long."""
    return int(2 ** random.uniform(0, 7 if random.random() < 0.85 else 14))


def drawn(random):
    """The content of an image, and the gray that it shows between 0 and 255; none where colors may differ."""
    mode = MODES[random.integers(len(MODES))]
    height, width = side(random), side(random)
    while height * width > 1 << 20:
        height, width = max(1, height // 2), max(1, width // 2)
    gray = random.random((height, width))
    gray.flat[random.integers(gray.size)] = 1.0  # there is a white pixel
    buffer = io.BytesIO()
    if mode in WIDE:
        white, kind, form = WIDE[mode]
        values = gray * white if kind is np.float32 else (gray * white).round()
        Image.fromarray(values.astype(kind)).save(buffer, form)
        return buffer.getvalue(), gray * 255
    image = Image.fromarray((gray * 255).round().astype(np.uint8))
    form = {"CMYK": "TIFF", "HSV": "TIFF", "LAB": "TIFF"}.get(mode, ("PNG", "TIFF", "WEBP")[random.integers(3)])
    try:
        (image.convert("RGB").convert(mode) if mode in ("HSV", "CMYK") else image.convert(mode)).save(buffer, form)
    except (OSError, ValueError):
        image.save(buffer, "PNG")
        mode = "L"
    exact = mode in ("L", "LA", "RGB", "RGBA") and form != "WEBP"
    return buffer.getvalue(), gray * 255 if exact or (mode == "L" and form == "PNG") else None


def test_two_thousand_images(tmp_path):
    random, views = (
        np.random.default_rng(20),
        [Preprocess(32, (0.5,) * 3, (0.5,) * 3, fit) for fit in ("crop", "squash")],
    )
    read = compared = 0
    for _ in range(2_000):
        data, gray = drawn(random)
        if random.random() < 0.1:
            data = data[: random.integers(len(data))]
            gray = None
        try:
            image = decode(data)
        except Unreadable as error:
            assert gray is None and str(error).strip() and "\n" not in str(error)
            continue
        read += 1
        pixels = np.asarray(image)
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3
        if gray is not None:
            compared += 1
            assert pixels.shape[:2] == gray.shape
            assert np.abs(pixels - gray[..., None]).max() <= 1.5
        path = tmp_path / "x.png"
        path.write_bytes(data)
        assert np.array_equal(script.read(path)[0], pixels)
        for view in views:
            done = view(torch.from_numpy(np.array(image)))
            assert done.shape == (3, 32, 32) and done.isfinite().all()
            mean = float(pixels.mean()) / 127.5 - 1
            if view.fit == "squash" and pixels.shape[0] % 32 == 0 and pixels.shape[1] % 32 == 0:
                assert abs(float(done.mean()) - mean) < 0.1
        assert resize(image, 16).shape == (3, 16, 16)
        assert glyphs.preprocess(image).isfinite().all()
    assert read > 1_700 and compared > 1_000


NAMES = ("cat", "Sea-Lion", "größe", "7up", "a", "A")
NUMBERS = ("1", "0", "-1", "none")


def meaning(label, classes):
    """What a label means: a class id, None for nothing, or "wrong"; written anew, without the package."""
    composed = unicodedata.normalize("NFC", label).strip()

    def same(one, other):
        if not any(c.isalpha() for c in one + other):
            return one == other
        one, other = (" ".join(text.replace("_", " ").replace("-", " ").split()) for text in (one, other))
        return one == other if len(one) == 1 or len(other) == 1 else one.casefold() == other.casefold()

    for i, name in enumerate(classes):
        if same(composed, name):
            return i
    if composed.lower() in ("", "-1", "nan", "null", "none"):
        return None
    numbers = any(name.lstrip("+-").isdigit() for name in classes)
    in_range = composed in [str(i) for i in range(len(classes))]
    return int(composed) if in_range and not numbers else "wrong"


LABELS = (
    *(
        "cat",
        "CAT",
        "sea lion",
        "SEA_LION",
        "größe",
        unicodedata.normalize("NFD", "Größe"),
        "7up",
        "a",
        "A",
        "-1",
        "",
        "NaN",
    ),
    *("null", "None", "0", "1", "5", "6", "_1", "1-", "- 2", "01", "1.0", "kat", "+1", "\u0661", "-0", "none", "- cat"),
)


def table(random, rows):
    """The text of a table of names and labels, in one of the shapes that are understood."""
    separator = (",", ";", "\t")[random.integers(3)]
    heads = (("file_name", "label"), ("path", "class"), ("Image", "Category"), None)[random.integers(4)]
    swapped, quoted, end = random.random() < 0.3, random.random() < 0.5, ("\n", "\r\n")[random.integers(2)]
    lines = [*([heads] if heads else []), *rows]
    cells = [line[::-1] if swapped else line for line in lines]
    text = end.join(separator.join(f'"{cell}"' if quoted else cell for cell in line) for line in cells) + end
    return text.encode(("utf-8", "utf-8-sig", "utf-16")[random.integers(3)])


def test_three_hundred_label_files(tmp_path):
    random = np.random.default_rng(21)
    images = [unicodedata.normalize("NFD", f"bild ä {i}.png") if i % 3 == 0 else f"sub/{i}.jpg" for i in range(12)]
    accepted = refused = 0
    for number in range(300):
        classes = NUMBERS if number % 4 == 0 else NAMES
        fitting = [label for label in LABELS if meaning(label, classes) != "wrong"]
        chosen = fitting if random.random() < 0.6 else LABELS
        rows = [
            (unicodedata.normalize("NFC", images[i]), chosen[random.integers(len(chosen))])
            for i in random.permutation(len(images))[: random.integers(1, 12)]
        ]
        meant = [meaning(label, classes) for _, label in rows]
        stranger, damaged = random.random() < 0.1, random.random() < 0.1
        if stranger:
            rows.append(("stranger.png", fitting[0]))
        data = table(random, rows)
        path = tmp_path / "l.csv"
        path.write_bytes(data[: random.integers(len(data))] if damaged else data)
        expected = [-1] * len(images)
        for (name, _), label in zip(rows, meant, strict=False):
            if isinstance(label, int):
                expected[[unicodedata.normalize("NFC", image) for image in images].index(name)] = label
        try:
            found = Labels.read(path, Classes(classes)).match(images, [""] * len(images)).tolist()
        except InputError as error:
            refused += 1
            assert damaged or stranger or "wrong" in meant, (rows, str(error))
            assert "\n" not in str(error)
            continue
        accepted += 1
        assert damaged or not (stranger or "wrong" in meant), rows
        for one, right in zip(found, expected, strict=True):
            assert one == right or (damaged and one == -1) or (damaged and right == -1), rows
    assert accepted > 100 and refused > 50
