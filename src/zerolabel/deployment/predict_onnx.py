"""Classify images with an exported classifier: python predict.py classifier.onnx IMAGE_OR_FOLDER ... [--csv]."""

import argparse
import csv
import io
import json
import os
import re
import stat
import sys
import unicodedata
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

WHITES = [2**bits - 1 for bits in (8, 10, 12, 16, 24, 32)]
OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
NOT_IMAGES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
COLORS = {"RGB": 3, "RGBA": 3, "CMYK": 4}  # and how many channels are no opacity
LONGEST_SIDE, MOST_BYTES = 65_536, 1 << 29


def read(path: Path) -> np.ndarray:
    """The upright image as uint8 (1, H, W, 3); transparency on white, wide values as 8 bits by what they hold."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        raise ValueError("it is no regular file, or a very large one")
    data = path.read_bytes()
    with Image.open(io.BytesIO(data), formats=[name for name in Image.OPEN if name not in NOT_IMAGES]) as opened:
        if opened.width * opened.height > (Image.MAX_IMAGE_PIXELS or np.inf):
            raise ValueError("it has too many pixels")
        image = whole(opened, data)
        if image.has_transparency_data:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        image = image.convert("RGB")
        factors = (-(-image.width // LONGEST_SIDE), -(-image.height // LONGEST_SIDE))
        return np.asarray(image.reduce(factors))[None]


def whole(image: Any, data: bytes) -> Image.Image:
    """The upright image with 8 bits; dark colors of 16 bits, of which Pillow keeps the higher byte, with both bytes."""
    wide = image.mode in COLORS and any(map(is_wide, image.tile))
    tiles, tags = [other_byte(tile) for tile in image.tile], getattr(image, "tag_v2", {})
    turned = upright(image)
    if turned.mode[0] in "IF":
        unsigned = turned.mode == "I" and tags.get(258) == (32,) and tags.get(339, (1,)) == (1,)
        done = eight_bits(np.asarray(turned).view(np.uint32) if unsigned else np.asarray(turned))
        return Image.fromarray(255 - done if tags.get(262) == 0 else done)
    if not wide or (high := np.asarray(turned))[..., : (n := COLORS[turned.mode])].max() > WHITES[2] >> 8:
        return turned
    if None in tiles:
        raise ValueError("its colors of 16 bits hold almost nothing; save them with 8 bits")
    with Image.open(io.BytesIO(data), formats=[image.format]) as again:
        again.tile = tiles
        both = high.astype(np.uint16) << 8 | np.asarray(upright(again))
    parts = [eight_bits(part) for part in (both[..., :n], both[..., n:]) if part.size]
    return Image.frombytes(turned.mode, turned.size, np.concatenate(parts, 2).tobytes())


def is_wide(tile: tuple[Any, ...]) -> bool:
    """True if a file has 16-bit colors."""
    given = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    scaled = tile[0] == "ppm" and isinstance(given[-1], int) and given[-1] > WHITES[2]
    return tile[0] == "SGI16" or scaled or any(isinstance(one, str) and one[-4:] in OTHER_BYTE for one in given)


def upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; as it is where the block of EXIF is damaged but the pixels are not."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def other_byte(tile: Any) -> Any:
    """The tile with a raw mode that keeps the other byte of 16 bits; None where it has none."""
    codec, box, offset, given = tile
    parts = [given] if isinstance(given, str) else list(given or ())
    for i, part in enumerate(parts):
        if isinstance(part, str) and part[-4:] in OTHER_BYTE:
            parts[i] = part[:-4] + OTHER_BYTE[part[-4:]]
            if parts[i] == "LA;16L":  # which Pillow lacks
                return None
            return codec, box, offset, parts[0] if isinstance(given, str) else tuple(parts)
    return None


def eight_bits(values: np.ndarray) -> np.ndarray:
    """0 to 255, where the largest value says what white is; as `zerolabel` reads images for training."""
    floats, rows = values.dtype.kind == "f", range(0, len(values), max(1, (1 << 22) // max(values[0].size, 1)))
    parts = [values[i : i + rows.step] for i in rows]

    def finite(part: np.ndarray) -> np.ndarray:
        return np.nan_to_num(part.astype(np.float64), nan=0, posinf=0, neginf=0)

    low, high = min(finite(p).min() for p in parts), max(finite(p).max() for p in parts)
    unit = high <= (2 if floats else 1)
    black, white = 0, 1 if unit else next((white for white in WHITES if white >= high), high)
    if low < -0.1 * white:
        black, white = (-1, 1) if floats and unit and low >= -2 else (low, max(high, low + 1))
    scale = 255 / (white - black)
    return np.concatenate([((finite(p) - black) * scale).round().clip(0, 255).astype(np.uint8) for p in parts])


def images(place: Path) -> list[Path]:
    """The images of a folder at every depth, as `zerolabel predict` finds them; what begins with a dot is left out."""
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in set(Image.OPEN) - NOT_IMAGES}
    known |= {".heic", ".heif", ".hif", ".avif"}
    seen, links, found = [os.path.realpath(place)], [str(place)], []
    while links:
        for folder, folders, names in os.walk(links.pop(0)):
            folders[:] = sorted(name for name in folders if name[0] != ".")
            for link in filter(os.path.islink, (os.path.join(folder, name) for name in folders)):
                if not any(Path(os.path.realpath(link)).is_relative_to(one) for one in seen):
                    seen.append(os.path.realpath(link))
                    links.append(link)
            found += [Path(folder, n) for n in names if n[0] != "." and os.path.splitext(n)[1].lower() in known]
    return sorted(found, key=lambda f: (unicodedata.normalize("NFC", f.as_posix()), f.as_posix()))


def visible(text: object) -> str:
    """Text whose characters cannot steer a terminal."""
    return STEERING.sub(lambda c: c[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if FORMULA.match(cell) and not NUMBER.fullmatch(cell) else cell


class Lines:
    """Standard output for `csv.writer`, which quotes all line breaks where lines end with both of them."""

    @staticmethod
    def write(line: str) -> None:
        """Print a line."""
        sys.stdout.write(f"{line[:-2]}\n")


def main() -> None:
    """Print file, label and confidence of each image; exit code 1 where one could not be read."""
    parser = argparse.ArgumentParser(description="Classify images with an exported classifier.")
    parser.add_argument("model", help="classifier.onnx")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders searched at every depth")
    parser.add_argument("--csv", action="store_true", help="print CSV with a header, in UTF-8 where it is redirected")
    parser.add_argument("--threshold", action="store_true", help="'unknown' below the threshold stored in the model")
    args = parser.parse_args()
    for stream in cast(list[io.TextIOWrapper], [sys.stdout, sys.stderr]):
        stream.reconfigure(encoding=stream.encoding if stream.isatty() else "utf-8", errors="backslashreplace")
    try:
        session = onnxruntime.InferenceSession(args.model, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        classes, least = json.loads(metadata["classes"]), json.loads(metadata["threshold"]) if args.threshold else 0
    except Exception as error:
        sys.exit(visible(f"{args.model} is not an exported classifier: {error}".splitlines()[0]))
    Image.init()
    files = [file for place in args.images for file in (images(place) if place.is_dir() else [place])]
    if least is None or not files:
        sys.exit("there is no image in what was given." if not files else f"{visible(args.model)} stores no threshold.")
    rows = csv.writer(Lines(), delimiter="," if args.csv else "\t")
    rows.writerows([("file", "label", "confidence")] * args.csv)
    raw = args.csv and not sys.stdout.isatty()
    failed = False
    for file in files:
        try:
            p = session.run(None, {"image": read(file)})[0][0]
            label = classes[p.argmax()] if p.max() >= least else "unknown"
        except Exception as error:  # a damaged file must not stop the others
            failed, reason = True, str(error) or type(error).__name__
            reason = "not an image that Pillow can read" if isinstance(error, UnidentifiedImageError) else reason
            print(visible(f"{file} cannot be read: {reason}".splitlines()[0]), file=sys.stderr)
            continue
        cells = [str(text) if raw else visible(text) for text in (file, label)]
        rows.writerow((*map(safe, cells), f"{p.max():.4f}"))
    sys.stdout.flush()
    sys.exit(int(failed))


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # the reader of standard output has gone, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
