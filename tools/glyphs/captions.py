"""Captions of rendered characters, and which images each of them is true of."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.glyphs.strokes import CHARACTERS

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
STYLES = ("hand", "print", "pixel", "small", "large", "thin", "bold", "tilted")

PLAIN_TEMPLATES = (
    "{}", "{}.", "a {}", "a {}.", "the {}", "the {}.", "a photo of a {}", "a photo of a {}.", "a photo of the {}.",
    "a picture of a {}", "an image of a {}", "an image of the {}.", "a bad photo of a {}.",
    "a bad photo of the {}.", "a good photo of a {}.", "a good photo of the {}.", "a drawing of a {}.",
    "a drawing of the {}.", "a sketch of a {}.", "a close-up photo of a {}.", "a cropped photo of the {}.",
    "a black and white photo of a {}.", "a scan of a {}", "a scan of the {}", "a scan of the {}.",
    "a photo of my {}.", "a photo of one {}.", "a rendition of a {}.", "a rendering of the {}.", "itap of a {}.",
    "there is a {} in the scene.", "a photo of a hard to see {}.", "a dark photo of the {}.",
    "a bright photo of a {}.", "graffiti of a {}.", "art of the {}.", "a centered image of a {}", "one {}",
    "this is a {}", "this is the {}.", "an example of a {}", "character: {}", "label: {}", "it says {}",
    "a gray picture of a {}", "a symbol: {}", "the character {}", "a photo of the character {}.",
    "a sign with a {}", "a clean photo of a {}.", "a photo of a dirty {}.", "a {} on paper",
    "a {} on a dark background", "what is this? a {}",
)  # fmt: skip
STYLED_TEMPLATES = {
    "hand": ("a handwritten {}", "a handwritten {}.", "{} in handwriting", "a photo of a handwritten {}.",
             "a scribbled {}", "a {} written with a pen", "a doodle of a {}."),
    "print": ("a printed {}", "a printed {}.", "a typed {}", "a {} in a book", "a {} set in a typeface"),
    "pixel": ("a low resolution photo of a {}.", "a low resolution picture of a {}", "a pixelated photo of a {}.",
              "a blurry photo of a {}.", "a jpeg corrupted photo of a {}.", "a tiny thumbnail of a {}"),
    "small": ("a small {}", "a photo of a small {}.", "a little {}"),
    "large": ("a large {}", "a photo of a large {}.", "a big {}"),
    "thin": ("a thin {}", "a {} with thin lines", "a light {}"),
    "bold": ("a bold {}", "a thick {}", "a {} with heavy strokes"),
    "tilted": ("a slanted {}", "a tilted {}", "an italic {}"),
}  # fmt: skip

DIGIT_NAMES = (
    "{d}", "{w}", "number {d}", "number {w}", "the number {d}", "the number {w}", "digit {d}", "digit {w}",
    "the digit {d}", "the digit {w}", "numeral {d}", "figure {d}", "{W}", "{d} ({w})", "the number {d} ({w})",
)  # fmt: skip
LETTER_NAMES = ("letter {x}", "the letter {x}", "alphabet letter {x}", "character {x}", "letter '{x}'")
LOWER_NAMES = (
    "lowercase {l}", "lower case {l}", "small letter {l}", "lowercase letter {l}", "the lowercase letter {l}",
)  # fmt: skip
UPPER_NAMES = (
    "capital {u}", "uppercase {u}", "upper case {u}", "capital letter {u}", "the capital letter {u}",
    "uppercase letter {l}", "capital {l}",
)  # fmt: skip

LOOKALIKES = ("0oO", "1lI", "cC", "kK", "pP", "sS", "uU", "vV", "wW", "xX", "zZ", "jJ", "iI", "yY", "fF")

ALPHABETS = {
    "digits": CHARACTERS[:10],
    "capitals": CHARACTERS[10:36],
    "small letters": CHARACTERS[36:],
    "letters": CHARACTERS[10:],
    "everything": CHARACTERS,
}


@dataclass(frozen=True)
class Caption:
    """A text, how true it is of each character (0..1) and the style it claims, if any."""

    text: str
    truth: dict[str, float]
    style: str | None


def name(character: str, rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """One of the names of ``character``, and of which characters that name is true."""
    lower, upper = character.lower(), character.upper()
    if character.isdigit():
        word = WORDS[int(character)]
        chosen = DIGIT_NAMES[rng.choice(len(DIGIT_NAMES), p=DIGIT_CHANCES)]
        return chosen.format(d=character, w=word, W=word.capitalize()), {character: 1.0}
    kind = rng.choice(4, p=[0.35, 0.3, 0.1, 0.25])
    if kind == 0:
        return character, {character: 1.0, character.swapcase(): 0.3}
    if kind == 1:
        return LETTER_NAMES[rng.integers(len(LETTER_NAMES))].format(x=character), {lower: 1.0, upper: 1.0}
    if kind == 2:
        return LETTER_NAMES[rng.integers(len(LETTER_NAMES))].format(x=lower), {lower: 1.0, upper: 1.0}
    names = LOWER_NAMES if character.islower() else UPPER_NAMES
    return names[rng.integers(len(names))].format(l=lower, u=upper), {character: 1.0}


DIGIT_CHANCES = np.array([4.0, 4.0, *[1.0] * (len(DIGIT_NAMES) - 2)]) / (len(DIGIT_NAMES) + 6)


def draw(alphabet: str, count: int, bare: float, rng: np.random.Generator) -> list[Caption]:
    """``count`` captions or a little less, a share of them bare names, every character in turn, no text twice."""
    captions: dict[str, Caption] = {}
    order = rng.permutation(list(alphabet))
    for number in range(count):
        called, truth = name(str(order[number % len(order)]), rng)
        named_only = rng.random() < bare
        style = STYLES[rng.integers(len(STYLES))] if not named_only and rng.random() < 0.3 else None
        templates = STYLED_TEMPLATES[style] if style else PLAIN_TEMPLATES
        text = called if named_only else templates[rng.integers(len(templates))].format(called)
        captions[text] = Caption(text, truth, style)
    return list(captions.values())


def lookalike_table() -> Tensor:
    """(C C) booleans: different characters that share a shape, so that neither is the other's negative."""
    table = torch.zeros(len(CHARACTERS), len(CHARACTERS), dtype=torch.bool)
    for group in LOOKALIKES:
        places = [CHARACTERS.index(c) for c in group]
        for place in places:
            table[place, places] = True
    return table.fill_diagonal_(False)


def truth_table(captions: list[Caption]) -> tuple[Tensor, Tensor]:
    """(C M) how true each caption is of each character, and (M,) its style's place, -1 for none."""
    truth = torch.zeros(len(CHARACTERS), len(captions))
    for column, caption in enumerate(captions):
        for character, value in caption.truth.items():
            truth[CHARACTERS.index(character), column] = value
    style = [-1 if c.style is None else STYLES.index(c.style) for c in captions]
    return truth, torch.tensor(style)
