"""Values wider than 8 bits and thin images: the same pixels for training and for the script, in bounded memory."""

import importlib
import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from zerolabel.data.images import ImageSet, Unreadable, decode, enough_memory, resize
from zerolabel.data.images.depth import eight_bits
from zerolabel.data.views import Preprocess

script = importlib.import_module("zerolabel.deployment.predict_onnx")
RAMP = np.linspace(0, 1, 48 * 32).reshape(48, 32)
pytestmark = pytest.mark.filterwarnings("ignore:.*are read as.*:UserWarning")


def saved(values, form="TIFF", **options):
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, form, **options)
    return buffer.getvalue()


def png_of_16_bits(values):
    """A PNG with colors of 16 bits, which Pillow cannot write."""
    height, width, channels = values.shape
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {2: 4, 3: 2, 4: 6}[channels]
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(values, photometric):
    """A TIFF of one strip, of kinds that Pillow cannot write."""
    values = values[..., None] if values.ndim == 2 else values
    (height, width, channels), bits = values.shape, 8 * values.dtype.itemsize
    extra = struct.pack(f"<{channels}H", *[bits] * channels) if channels > 2 else b""
    place = 8 + 2 + 9 * 12 + 4
    of_bits = (258, 3, channels, place) if extra else (258, 3, 1, bits)
    entries = [(256, 4, 1, width), (257, 4, 1, height), of_bits, (259, 3, 1, 1), (262, 3, 1, photometric)]
    entries += [(273, 4, 1, place + len(extra)), (277, 3, 1, channels), (278, 4, 1, height)]
    entries += [(279, 4, 1, values.nbytes)]
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(struct.pack("<HHII", *one) for one in entries) + bytes(4) + extra + values.tobytes()


def ink(scale):
    """The ramp in colors of print: no ink is white."""
    values = np.repeat(((1 - RAMP) * scale).round()[..., None], 4, 2)
    values[..., 3] = 0
    return values.astype("<u2")


WIDE = {
    "8 bits in 16": saved((RAMP * 255).round().astype(np.uint16), "PNG"),
    "8 bits in 32": saved((RAMP * 255).round().astype(np.int32)),
    "10 bits in 16": saved((RAMP * 1023).astype(np.uint16), "PNG"),
    "12 bits in 16": saved((RAMP * 4095).astype(np.uint16)),
    "12 bits in 32": saved((RAMP * 4095).astype(np.int32)),
    "16 bits": saved((RAMP * 65535).astype(np.uint16), "PNG"),
    "16 bits in 32": saved((RAMP * 65535).astype(np.int32)),
    "24 bits in 32": saved((RAMP * (2**24 - 1)).astype(np.int32)),
    "floats to 1": saved(RAMP.astype(np.float32)),
    "floats to 255": saved((RAMP * 255).astype(np.float32)),
    "floats to 4095": saved((RAMP * 4095).astype(np.float32)),
    "floats from -1": saved((RAMP * 2 - 1).astype(np.float32)),
    "floats from -3": saved((RAMP * 6 - 3).astype(np.float32)),
    "floats from -2.1 to 2.6": saved((RAMP * 4.7 - 2.1).astype(np.float32)),
    "integers from -200": saved((RAMP * 600 - 200).round().astype(np.int32)),
    "floats from -50": saved((RAMP * 100 - 50).astype(np.float32)),
    "8 bits in colors of 16": png_of_16_bits(np.repeat((RAMP * 255).round()[..., None], 3, 2)),
    "12 bits in colors of 16": png_of_16_bits(np.repeat((RAMP * 4095).round()[..., None], 3, 2)),
    "colors of 16 bits": png_of_16_bits(np.repeat((RAMP * 65535).round()[..., None], 3, 2)),
    "8 bits in opaque colors of 16": png_of_16_bits(
        np.concatenate([np.repeat((RAMP * 255).round()[..., None], 3, 2), np.full((48, 32, 1), 255)], 2)
    ),
    "32 bits without a sign": tiff((RAMP * (2**32 - 1)).astype("<u4"), 1),
    "16 bits whose 0 is white": tiff(((1 - RAMP) * 65535).round().astype("<u2"), 0),
    "8 bits in 16 whose 0 is white": tiff(((1 - RAMP) * 255).round().astype("<u2"), 0),
    "16 bits of ink": tiff(ink(65535), 5),
    "8 bits in 16 of ink": tiff(ink(255), 5),
    "16 bits with opacity": png_of_16_bits(np.stack([(RAMP * 65535).round(), np.full_like(RAMP, 65535)], 2)),
    "portable colors of 16 bits": b"P6 32 48 65535\n"
    + np.repeat((RAMP * 65535).round()[..., None], 3, 2).astype(">u2").tobytes(),
}


@pytest.mark.parametrize("kind", WIDE)
def test_white_is_what_the_values_say(kind, tmp_path):
    found = np.asarray(decode(WIDE[kind])).astype(int)
    assert np.abs(found - (RAMP * 255)[..., None]).max() <= 1.5, kind
    (tmp_path / "x.png").write_bytes(WIDE[kind])
    assert np.array_equal(script.read(tmp_path / "x.png")[0], found)


DARK = np.repeat((RAMP * 255).round()[..., None], 3, 2)
SMALL_IN_COLORS = {
    "png with opacity": png_of_16_bits(np.stack([(RAMP * 255).round(), np.full_like(RAMP, 65535)], 2)),
    "ppm": b"P6 32 48 65535\n" + DARK.astype(">u2").tobytes(),
    "ppm of 10 bits": b"P6 32 48 65535\n" + (DARK * 4).astype(">u2").tobytes(),
    "sgi": struct.pack(">HBBHHHHII", 474, 0, 2, 3, 32, 48, 3, 0, 65535).ljust(512, b"\0")
    + b"".join(DARK[::-1, :, channel].astype(">u2").tobytes() for channel in range(3)),
    "black ppm": b"P6 32 48 65535\n" + bytes(48 * 32 * 6),
}


@pytest.mark.parametrize("kind", SMALL_IN_COLORS)
def test_small_values_that_pillow_loses_are_a_reason_and_not_black(kind, tmp_path):
    (tmp_path / "x.bin").write_bytes(SMALL_IN_COLORS[kind])
    for read in (lambda: decode(SMALL_IN_COLORS[kind]), lambda: script.read(tmp_path / "x.bin")):
        with pytest.raises((Unreadable, ValueError), match="hold almost nothing; save them with 8 bits"):
            read()


def test_masks_overshoot_and_what_is_not_finite():
    assert eight_bits(np.array([[0, 1]], np.uint16)).tolist() == [[0, 255]]
    assert eight_bits(np.array([[0, 0]], np.uint16)).tolist() == [[0, 0]]
    assert eight_bits(np.array([[-0.05, 0.5, 1.1]], np.float32)).tolist() == [[0, 128, 255]]
    assert eight_bits(np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)).tolist() == [[0, 0, 0, 255]]
    assert eight_bits(np.array([[7.0, 7.0]], np.float32)).tolist() == [[7, 7]]
    for values in ([[0, 1]], [[0, 300]], [[-1000, 3000]]):
        array = np.array(values, np.int32)
        assert np.array_equal(eight_bits(array), script.eight_bits(array))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_values_of_which_none_is_finite_are_a_reason_and_not_black(odd, kind, tmp_path):
    values = np.full((9, 7), odd, kind)
    for convert in (eight_bits, script.eight_bits):
        with pytest.raises(ValueError, match="none of its values is finite"):
            convert(values)
    (tmp_path / "x.tif").write_bytes(saved(values.astype(np.float32)))
    for read in (decode, lambda data: script.read(tmp_path / "x.tif")):
        with pytest.raises((Unreadable, ValueError), match="none of its values is finite"):
            read((tmp_path / "x.tif").read_bytes())
    values[3, 3] = 1
    assert np.array_equal(eight_bits(values), script.eight_bits(values)) and eight_bits(values)[3, 3] == 255


def test_a_note_tells_that_it_was_guessed():
    for kind, told in {"8 bits in 16": "8-bit", "12 bits in 32": "12-bit", "floats from -50": "stretched"}.items():
        with pytest.warns(UserWarning, match=told):
            decode(WIDE[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("16 bits", "floats to 1", "colors of 16 bits"):
            decode(WIDE[kind])


@pytest.mark.parametrize("turn", [1, 3, 6, 8])
@pytest.mark.parametrize("kind", ["8 bits in 16", "8 bits in colors of 16"])
def test_wide_values_are_turned_as_others(kind, turn, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    data = WIDE[kind]
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    data = data[:33] + chunk + data[33:]
    (tmp_path / "x.png").write_bytes(data)
    expected = np.rot90(np.asarray(decode(WIDE[kind])), {1: 0, 3: 2, 6: -1, 8: 1}[turn])
    assert np.array_equal(np.asarray(decode(data)), expected)
    assert np.array_equal(script.read(tmp_path / "x.png")[0], expected)


SIZES = ((1, 60_000), (60_000, 1), (2, 2_000_000), (3_000_000, 3), (7, 500), (1, 1), (300, 18_000))

THIN = """
import pathlib, resource
import numpy as np, torch
from PIL import Image
from zerolabel.data.images import decode, resize
from zerolabel.data.views import Preprocess
from zerolabel.vlms import glyphs
import io
torch.set_num_threads(1)
for width, height in %r:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, "PNG")
    image = decode(buffer.getvalue())
    for fit in ("crop", "squash"):
        for kernel in ("bilinear", "bicubic"):
            done = Preprocess(224, (0.5,) * 3, (0.5,) * 3, fit, kernel)(torch.from_numpy(np.array(image)))
            assert done.shape == (3, 224, 224) and bool((done > 0.99).all()), (width, height, fit, kernel)
    assert resize(image, 64).min() == 255
    assert glyphs.preprocess(image).isfinite().all()
# Linux passes the peak of getrusage on to a new program; VmHWM is this program's own.
status = pathlib.Path("/proc/self/status")
lines = status.read_text().splitlines() if status.is_file() else []
own = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
print((own or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0] // 1024)
"""


def test_memory_is_bounded_for_every_shape():
    command = [sys.executable, "-c", THIN % (SIZES,)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2_000, f"{done.stdout} MiB"


def test_the_middle_of_a_thin_image_is_what_the_center_is_taken_of():
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (40, 40 * 61, 3), generator=random, dtype=torch.uint8)
    thin = Preprocess(24, (0.0,) * 3, (1.0,) * 3, "crop", "bicubic")
    middle = image[:, (40 * 61 - 400) // 2 : (40 * 61 + 400) // 2]
    assert (thin.resize(image) - thin.resize(middle)).abs().max() < 0.01


def test_a_failed_allocation_is_the_fault_of_one_image(monkeypatch, tmp_path):
    for error in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")):
        with pytest.raises(Unreadable, match="not enough memory"), enough_memory():
            raise error
    with pytest.raises(RuntimeError, match="shapes"), enough_memory():
        raise RuntimeError("shapes do not fit")
    (tmp_path / "a.png").write_bytes(WIDE["16 bits"])

    def fails(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fails)
    with pytest.raises(Unreadable, match="not enough memory"):
        ImageSet.open(tmp_path).read(0)


def test_a_long_side_is_reduced_the_same_way_by_the_script(tmp_path):
    stripe = np.zeros((1, 200_000, 3), np.uint8)
    stripe[0, 100_000:] = 255
    Image.fromarray(stripe).save(tmp_path / "x.png")
    found = decode((tmp_path / "x.png").read_bytes())
    assert found.size == (50_000, 1)
    assert np.array_equal(script.read(tmp_path / "x.png")[0], np.asarray(found))
    assert resize(found, 8)[0, 0].tolist()[:3] == [0, 0, 0]
