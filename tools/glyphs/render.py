"""Clean pictures of characters: from fonts, from Hershey strokes and from a simulated pen. No real handwriting."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from tools.glyphs import strokes
from tools.glyphs.fonts import HANDWRITTEN, HELD_OUT, UNSUITABLE

Drawing = tuple[str, str, str, np.ndarray]  # character, kind, family, canvas

SIDE, GLYPH = 48, 40  # a glyph's longer side is GLYPH pixels, centered in SIDE x SIDE
CANVAS = 4 * SIDE
SAME_IN_BOTH = "ckopsuvwxz"  # letters whose two cases have one shape
KINDS = ("pen", "hand font", "print font", "hershey")
SHARE = {"pen": 0.55, "hand font": 0.18, "print font": 0.2, "hershey": 0.07}


@dataclass(frozen=True)
class Bank:
    """Clean glyphs, light ink on black; ``weight`` is each one's chance of being drawn within its character."""

    images: Tensor  # uint8 (N SIDE SIDE)
    character: Tensor  # int64 (N,), a place in strokes.CHARACTERS
    kind: Tensor  # int64 (N,), a place in KINDS
    weight: Tensor  # float32 (N,)


def frame(canvas: np.ndarray) -> np.ndarray | None:
    """Crop to the ink and center it, or None where there is hardly any."""
    rows, columns = np.flatnonzero(canvas.max(1) > 60), np.flatnonzero(canvas.max(0) > 60)
    if len(rows) < 4 or len(columns) < 2:
        return None
    ink = canvas[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = GLYPH / max(ink.shape)
    width, height = max(1, round(ink.shape[1] * scale)), max(1, round(ink.shape[0] * scale))
    ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    return np.pad(ink, ((top, SIDE - height - top), (left, SIDE - width - left)))


def curve(points: np.ndarray, corner: list[bool], steps: int = 8) -> np.ndarray:
    """A Catmull-Rom spline through the points, (P 2) -> (Q 2), with a sharp bend at each corner."""
    before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
    before[0], after[-1] = points[0], points[-1]
    tangent = (after - before) / 2 * (1 - np.array(corner, dtype=float))[:, None]
    t = np.linspace(0, 1, steps)[None, :, None]
    start, end, out, arrive = points[:-1, None], points[1:, None], tangent[:-1, None], tangent[1:, None]
    path = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * out
    path = path + (3 * t**2 - 2 * t**3) * end + (t**3 - t**2) * arrive
    return path.reshape(-1, 2)


def draw_pen(variant: str, rng: np.random.Generator) -> np.ndarray:
    """One hand-written instance of a skeleton: shaken points, a drawn aspect, a pen of uneven pressure."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    shake, aspect = rng.uniform(0.015, 0.05), np.exp(rng.uniform(np.log(0.4), np.log(1.05)))
    size = np.array([min(aspect, 1.0), min(1 / aspect, 1.0)]) * CANVAS * 0.72
    pen, pressure = np.exp(rng.uniform(np.log(4), np.log(26))), rng.uniform(0, 0.3)
    for stroke in strokes.parse(variant):
        points = np.array([p[:2] for p in stroke]) + rng.normal(0, shake, (len(stroke), 2)) + rng.normal(0, 0.015, 2)
        points[[0, -1]] += rng.normal(0, shake, (2, 2))
        path = curve(points, [p[2] for p in stroke]) * size + (CANVAS - size) / 2
        width = pen * (1 + pressure * np.sin(np.linspace(0, rng.uniform(2, 8), len(path)) + rng.uniform(0, 6)))
        places = np.round(path).astype(int)
        for a, b, w in zip(places[:-1], places[1:], width, strict=False):
            cv2.line(canvas, tuple(map(int, a)), tuple(map(int, b)), 255, max(1, round(w)), cv2.LINE_AA)
    return canvas


def draw_hershey(character: str, face: int, thickness: int) -> np.ndarray:
    """A character of one of OpenCV's stroke fonts."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.putText(canvas, character, (40, 130), face, 4.0, 255, thickness, cv2.LINE_AA)
    return canvas


def draw_font(character: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    """A character of a font file."""
    image = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(image).text((CANVAS // 2, CANVAS // 2), character, font=font, fill=255, anchor="mm")
    return np.asarray(image)


def matches(path: Path, words: tuple[str, ...]) -> bool:
    """Whether the font's folder or file name contains one of ``words``."""
    name = f"{path.parent.name}/{path.name}".lower()
    return any(word in name for word in words)


def font_files(held_out: bool) -> list[Path]:
    """Every suitable installed font file, either those trained on or those held out."""
    roots = (Path("/usr/share/fonts"), Path(matplotlib.get_data_path()) / "fonts")
    files = (path for root in roots for ending in ("ttf", "otf") for path in sorted(root.rglob(f"*.{ending}")))
    return [path for path in files if not matches(path, UNSUITABLE) and matches(path, HELD_OUT) == held_out]


def same_shape(character: str, font: ImageFont.FreeTypeFont) -> bool:
    """Whether the font draws its small letter like the capital."""
    small, capital = frame(draw_font(character, font)), frame(draw_font(character.upper(), font))
    if small is None or capital is None:
        return True
    ink = np.maximum(small, capital).astype(float).sum()
    return bool(np.abs(small.astype(float) - capital).sum() < 0.4 * ink)


def font_glyphs(held_out: bool) -> Iterator[Drawing]:
    """(character, kind, family, canvas) for each font; one that lacks Latin letters is skipped."""
    for path in font_files(held_out):
        try:
            font = ImageFont.truetype(str(path), 130)
        except OSError:
            continue
        missing = draw_font("\uffff", font)
        if any(np.array_equal(missing, draw_font(c, font)) for c in "0Aa"):
            continue
        kind = "hand font" if matches(path, HANDWRITTEN) else "print font"
        family = path.stem[:5] if path.parent.name in ("ttf", "tlwg", "urw-base35", "bwht") else path.parent.name
        for character in strokes.CHARACTERS:
            if character.islower() and character not in SAME_IN_BOTH and same_shape(character, font):
                continue
            yield character, kind, family, draw_font(character, font)


def hershey_glyphs(held_out: bool) -> Iterator[Drawing]:
    """(character, kind, family, canvas); the two script faces are held out."""
    faces = (5, 16 + 5) if held_out else (0, 2, 3, 4, 7, 16, 16 + 2, 16 + 4)
    for face in faces:
        for thickness in (4, 8, 14, 20):
            for character in strokes.CHARACTERS:
                yield character, "hershey", str(face), draw_hershey(character, face, thickness)


def pen_glyphs(held_out: bool, per_character: int, rng: np.random.Generator) -> Iterator[Drawing]:
    """(character, kind, variant, canvas); digits get three times as many."""
    for character in strokes.CHARACTERS:
        ways = strokes.variants(character, held_out)
        for number in range(per_character * (3 if character.isdigit() else 1)):
            way = number % len(ways)
            yield character, "pen", str(way), draw_pen(ways[way], rng)


def build(held_out: bool, per_character: int, seed: int) -> Bank:
    """Draw the whole bank. Within a kind, every family has the same chance however many members it has."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    sources = (pen_glyphs(held_out, per_character, rng), font_glyphs(held_out), hershey_glyphs(held_out))
    for source in sources:
        for character, kind, family, canvas in source:
            image = frame(canvas)
            if image is not None:
                images.append(image)
                labels.append((character, kind, family))
    members: dict[tuple[str, str, str], int] = {}
    families: dict[tuple[str, str], set[str]] = {}
    for character, kind, family in labels:
        members[character, kind, family] = members.get((character, kind, family), 0) + 1
        families.setdefault((character, kind), set()).add(family)
    weight = [SHARE[k] / len(families[c, k]) / members[c, k, f] for c, k, f in labels]
    return Bank(
        images=torch.from_numpy(np.stack(images)),
        character=torch.tensor([strokes.CHARACTERS.index(c) for c, _, _ in labels]),
        kind=torch.tensor([KINDS.index(k) for _, k, _ in labels]),
        weight=torch.tensor(weight),
    )


def load_or_build(folder: Path, held_out: bool, per_character: int, seed: int) -> Bank:
    """The bank of these settings, drawn once and kept in ``folder``."""
    path = folder / f"bank-{'held' if held_out else 'train'}-{per_character}-{seed}.npz"
    if not path.exists():
        bank = build(held_out, per_character, seed)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{name: value.numpy() for name, value in vars(bank).items()})
    with np.load(path, allow_pickle=False) as arrays:
        return Bank(**{name: torch.from_numpy(arrays[name]) for name in arrays.files})
