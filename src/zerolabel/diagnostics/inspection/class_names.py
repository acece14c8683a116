"""Class names that a model may misread: near each other, or with another meaning than the one that is meant."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from zerolabel.data.classes import plain

NEAR_LETTERS = 0.6
"""Cosine of the letter groups of two names from which they count as near."""
NEAR_TEXT = 0.05
"""Probability that a model gives one class for the prompt of another from which the two count as near."""

OTHER_MEANINGS = {
    "apple": "the fruit or the company",
    "bank": "of a river or of money",
    "bass": "the fish or the instrument",
    "bat": "the animal or the stick",
    "boxer": "the dog or the sportsman",
    "bow": "of a ship, an archer or a violin",
    "cardinal": "the bird or the clergyman",
    "chest": "the furniture or the body",
    "club": "the stick or the dance hall",
    "crane": "the bird or the machine",
    "date": "the fruit or the day",
    "drill": "the tool or the ape",
    "drumstick": "of a drummer or of a chicken",
    "fan": "the machine or the spectator",
    "file": "the tool or the document",
    "jaguar": "the animal or the car",
    "kite": "the bird or the toy",
    "match": "the game or the small stick",
    "mole": "the animal or the mark on the skin",
    "monitor": "the screen or the lizard",
    "mouse": "the animal or the device",
    "nail": "of a finger or of a carpenter",
    "orange": "the fruit or the color",
    "palm": "the tree or the hand",
    "pitcher": "the jug or the player",
    "plane": "the aircraft, the tool or the tree",
    "ray": "the fish or the beam",
    "ring": "on a finger or for boxing",
    "ruler": "the measure or the king",
    "seal": "the animal or the stamp",
    "sole": "the fish or the shoe",
    "spring": "the season, the water or the coil",
    "swallow": "the bird or the act",
    "tank": "the vehicle or the container",
    "tie": "the garment or the draw",
    "trunk": "of a tree, an elephant or a car",
    "turkey": "the bird or the country",
}


@dataclass(frozen=True)
class Pair:
    """Two class ids and how near their names are: 1 is the same."""

    first: int
    second: int
    nearness: float


def near_by_letters(names: Sequence[str]) -> tuple[Pair, ...]:
    """Pairs of names that are nearly the same letters, the nearest first; no model is needed.

    Compared are groups of two to four letters within words, weighted by their rarity among the names. Names that differ
    only in spelling or in a plural, such as ``fire_truck`` and ``FireTrucks``, have nearness 1. Names of one or two
    characters are left out.
    """
    texts = [re.sub(r"(?<=[a-z]{3})s\b", "", words(name)) for name in names]
    long = [i for i, text in enumerate(texts) if len(text) > 2]
    if len(long) < 2:
        return ()
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform([texts[i] for i in long])
    alike = (vectors @ vectors.T).tocoo()
    pairs = [
        Pair(long[i], long[j], min(float(value), 1.0))
        for i, j, value in zip(alike.row, alike.col, alike.data, strict=True)
        if i < j and value >= NEAR_LETTERS
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.nearness, pair.first, pair.second)))


def near_by_text(texts: Float[Tensor, "C D"], scale: float) -> tuple[Pair, ...]:
    """Pairs of classes whose prompts a model can hardly distinguish, the nearest first.

    A prompt is read as if it were an image, p = softmax_d(scale cos(t_c, t_d)); the nearness of two classes is the
    larger of p(d | c) and p(c | d), doubled, so that two equal prompts have nearness 1.

    Args:
        texts: text features of length 1.
        scale: of the cosine, as the model has it for images.
    """
    pairs: dict[tuple[int, int], float] = {}
    for start in range(0, len(texts), 1024):
        p = (scale * texts[start : start + 1024] @ texts.T).softmax(1)
        for row, column in (p >= NEAR_TEXT).nonzero().tolist():
            key = (min(row + start, column), max(row + start, column))
            if key[0] != key[1]:
                pairs[key] = max(pairs.get(key, 0.0), min(2 * float(p[row, column]), 1.0))
    return tuple(Pair(*key, value) for key, value in sorted(pairs.items(), key=lambda item: (-item[1], item[0])))


def words(name: str) -> str:
    """A name as words in small letters: ``AnnualCrop`` and ``annual_crop`` are ``annual crop``."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return plain(apart) if len(apart) > 1 else apart


def unclear(name: str) -> str:
    """Possible misreading of a class name; empty if the name is clear."""
    if (meaning := OTHER_MEANINGS.get(words(name))) is not None:
        return f"may be {meaning}"
    if re.fullmatch(r"(class|label|category|id)[ _-]*\d+|n\d{8}", name, re.IGNORECASE):
        return "is a code, not a name"
    if re.fullmatch(r"[A-Z]{2,4}", name):
        return "is an abbreviation"
    if re.search(r"[a-z][A-Z]|_", name):
        return f"is written in one; a model reads “{words(name)}” better"
    return ""
