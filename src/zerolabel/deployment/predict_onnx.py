"""Classify images with an exported classifier: python predict.py classifier.onnx IMAGE_FOLDER_OR_LIST ... [--csv].

Exit codes: 0 where all images have an answer, 1 where some could not be read or the reader of the output has gone, 2
where nothing could be done, 130 after an interruption.
"""

import argparse
import csv
import io
import json
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import numpy as np
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

WHITES = [2**bits - 1 for bits in (8, 10, 12, 16, 24, 32)]
OTHER_BYTE = {";16B": ";16L", ";16L": ";16B", ";16N": ";16B" if sys.byteorder == "little" else ";16L"}
NOT_IMAGES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
FACTS = ("classes", "threshold")
COLORS = {"RGB": 3, "RGBA": 3, "CMYK": 4}  # and how many channels are no opacity
LONGEST_SIDE, MOST_BYTES = 65_536, 1 << 29
BATCH, MOST_VALUES = 32, 1 << 25  # images at a time, and pixel values after which there are enough of them


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

    if floats and not any(np.isfinite(p).any() for p in parts):
        raise ValueError("none of its values is finite")
    low, high = min(finite(p).min() for p in parts), max(finite(p).max() for p in parts)
    unit = high <= (2 if floats else 1)
    black, white = 0, 1 if unit else next((white for white in WHITES if white >= high), high)
    if low < -0.1 * max(high, 1):
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


def listed(place: str) -> list[Path]:
    """The images that a file, a folder, a .txt with a path per line, or standard input (``-``) names."""
    path = Path(place)
    if place != "-" and path.suffix.lower() != ".txt":
        return images(path) if path.is_dir() else [path]
    text = sys.stdin.read() if place == "-" else path.read_text(encoding="utf-8-sig")
    return [Path("" if place == "-" else path.parent, line.strip()) for line in text.splitlines() if line.strip()]


def batches(files: Iterable[Path]) -> Iterator[list[tuple[Path, np.ndarray | Exception]]]:
    """Files with their pixels, or the reason why there are none; as many at a time as memory easily holds."""
    part: list[tuple[Path, np.ndarray | Exception]] = []
    for file in files:
        try:
            part.append((file, read(file)))
        except Exception as error:  # a damaged file must not stop the others
            part.append((file, error))
        if len(part) == BATCH or sum(getattr(pixels, "size", 0) for _, pixels in part) >= MOST_VALUES:
            yield part
            part = []
    if part:
        yield part


def answers(
    session: onnxruntime.InferenceSession, part: list[tuple[Path, np.ndarray | Exception]]
) -> list[np.ndarray | Exception]:
    """Probabilities of each image, or the reason why there are none; images of one size go together."""
    found, sizes = [pixels for _, pixels in part], dict[Any, list[int]]()
    for i, pixels in enumerate(found):
        if not isinstance(pixels, Exception):
            sizes.setdefault(pixels.shape, []).append(i)
    for places in sizes.values():
        try:
            rows = session.run(None, {"image": np.concatenate([cast(np.ndarray, found[i]) for i in places])})[0]
        except Exception as error:
            rows = [error] * len(places)
        for i, row in zip(places, rows, strict=True):
            found[i] = row
    return found


def facts(model: Path, session: onnxruntime.InferenceSession, given: Path | None) -> tuple[list[str], float | None]:
    """Class names and threshold: of the file that was given, of the metadata, or of classes.json beside the model."""
    metadata = session.get_modelmeta().custom_metadata_map
    beside = (model.with_suffix(".classes.json"), model.with_name("classes.json"))
    place = given or (None if "classes" in metadata else next(filter(Path.is_file, beside), None))
    stored = json.loads(place.read_text(encoding="utf-8")) if place else {k: json.loads(metadata[k]) for k in FACTS}
    classes, threshold = stored["classes"], stored.get("threshold")
    name, n = session.get_inputs()[0].name, session.get_outputs()[0].shape[-1]
    if name != "image":
        raise ValueError(f"its input is '{name}', not 'image'; export it with the default --format")
    if isinstance(n, int) and n != len(classes):
        raise ValueError(f"it has {n} classes, and {place} names {len(classes)}")
    return classes, threshold


def fail(message: str) -> NoReturn:
    """End with exit code 2."""
    print(visible(message.splitlines()[0]), file=sys.stderr)
    sys.exit(2)


def reason(error: Exception) -> str:
    """One line that says why an image has no answer."""
    named = "not an image that Pillow can read" if isinstance(error, UnidentifiedImageError) else str(error)
    return (named.strip() or type(error).__name__).splitlines()[0]


class Lines:
    """Standard output for `csv.writer`, which quotes all line breaks where lines end with both of them."""

    @staticmethod
    def write(line: str) -> None:
        """Print a line."""
        sys.stdout.write(f"{line[:-2]}\n")


def main() -> None:
    """Print file, label and confidence of each image; exit codes are those of the file's first lines."""
    parser = argparse.ArgumentParser(description="Classify images with an exported classifier.")
    parser.add_argument("model", help="classifier.onnx", type=Path)
    parser.add_argument("images", nargs="+", help="images, folders searched at every depth, .txt with paths, or -")
    parser.add_argument("--csv", action="store_true", help="print CSV with a header, in UTF-8 where it is redirected")
    parser.add_argument("--threshold", action="store_true", help="'unknown' below the threshold stored in the model")
    parser.add_argument(
        "--classes", type=Path, help="classes.json; by default the model's metadata, or the file beside"
    )
    args = parser.parse_args()
    for stream in cast(list[io.TextIOWrapper], [sys.stdout, sys.stderr]):
        stream.reconfigure(encoding=stream.encoding if stream.isatty() else "utf-8", errors="backslashreplace")
    try:
        session = onnxruntime.InferenceSession(str(args.model), providers=["CPUExecutionProvider"])
        classes, stored = facts(args.model, session, args.classes)
    except Exception as error:
        fail(f"{args.model} is not an exported classifier: {error}")
    if args.threshold and stored is None:
        fail(f"{args.model} stores no threshold.")
    Image.init()
    try:
        files = [file for place in args.images for file in listed(place)]
    except (OSError, ValueError) as error:
        fail(f"the list of images cannot be read: {error}")
    if not files:
        fail("there is no image in what was given.")
    rows = csv.writer(Lines(), delimiter="," if args.csv else "\t")
    rows.writerows([("file", "label", "confidence")] * args.csv)
    raw, failed = args.csv and not sys.stdout.isatty(), False
    for part in batches(files):
        for (file, _), p in zip(part, answers(session, part), strict=True):
            if isinstance(p, Exception):
                failed = True
                print(visible(f"{file} cannot be read: {reason(p)}"), file=sys.stderr)
                continue
            label = classes[p.argmax()] if not args.threshold or p.max() >= stored else "unknown"
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
    except KeyboardInterrupt:
        sys.exit(130)
