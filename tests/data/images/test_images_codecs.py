import io
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image, features

from zerolabel.data.images import ImageSet, Unreadable, decode, decoding


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_images_of_phones(form, photo):
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    if form == "HEIF":
        pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    decoding.formats()
    image = decode(photo(form, quality=90))
    reference = np.asarray(decode(photo("PNG")), dtype=float)
    assert image.size == (64, 48) and abs(np.asarray(image, dtype=float) - reference).mean() < 12
    with pytest.raises(Unreadable):
        decode(photo(form)[:300])


def test_a_missing_codec_says_what_to_install(photo, tmp_path):
    pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    decoding.formats()
    (tmp_path / "a.HEIC").write_bytes(photo("HEIF"))
    program = """
        import sys
        sys.modules["pillow_heif"] = None
        from zerolabel.data.images import ImageSet, Unreadable
        images = ImageSet.open(sys.argv[1])
        try:
            images.read(0)
        except Unreadable as error:
            print(images.file_names, error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == "('a.HEIC',) a HEIC image; `pip install zerolabel-vision[heif]` reads it\n"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_cost_the_image(photo, tmp_path):
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 40_000) + bytes(range(200))
    content = photo("JPEG", exif=exif)
    assert decode(content).size == (64, 48)


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_comes_upright(turn, photo):
    upright = Image.new("RGB", (24, 16), "white")
    upright.paste("red", (0, 0, 8, 8))
    upright.paste("blue", (16, 8, 24, 16))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[turn]) if turn in undo else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    assert np.array_equal(np.asarray(decode(buffer.getvalue())), np.asarray(upright))


def test_damaged_phone_images_are_named(photo):
    with pytest.raises(Unreadable, match=r"HEIF|HEIC"):
        decode(b"\0\0\0\x18ftypheic" + b"\xff" * 60)


def test_folders_list_what_only_a_codec_is_missing_for(tmp_path):
    for name in ("a.heic", "b.AVIF", "c.svg", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert ImageSet.open(tmp_path).file_names == ("a.heic", "b.AVIF")
