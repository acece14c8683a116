"""Zero-shot accuracy: on rendered characters of held-out fonts and pen shapes, and on scikit-learn's real digits."""

import numpy as np
import open_clip
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from tools.glyphs import augment
from tools.glyphs.captions import WORDS
from tools.glyphs.render import KINDS, Bank
from tools.glyphs.strokes import CHARACTERS
from zerolabel.vlms import glyphs

LOWER = "abcdefghijklmnopqrstuvwxyz"


@torch.no_grad()
def probabilities(model: open_clip.CLIP, features: Tensor, names: list[str], template: str) -> Tensor:
    """(N D) image features -> (N C) softmax over the names in one template."""
    text = model.encode_text(glyphs.tokenize([template.format(name) for name in names]), normalize=True)
    return (model.logit_scale.exp() * features @ text.T).softmax(1)


@torch.no_grad()
def encode(model: open_clip.CLIP, pictures: Tensor) -> Tensor:
    """(N 3 H W) -> (N D), normalised, in pieces."""
    return torch.cat([model.encode_image(part, normalize=True) for part in pictures.split(512)])


def accuracies(model: open_clip.CLIP, features: Tensor, names: list[str], truth: Tensor) -> dict[str, float]:
    """Per cent right with each template, with their mean probability, and how often the templates disagree."""
    each = {template: probabilities(model, features, names, template) for template in glyphs.TEMPLATES}
    figures = {template: percent(p.argmax(1) == truth) for template, p in each.items()}
    stack = torch.stack(list(each.values()))
    votes = stack.argmax(2)
    return figures | {
        "ensemble": percent(stack.mean(0).argmax(1) == truth),
        "templates disagree": percent((votes != votes[0]).any(0)),
        "truth among votes": percent((votes == truth).any(0)),
    }


def percent(hits: Tensor) -> float:
    """The share of true entries in per cent."""
    return round(100 * hits.float().mean().item(), 2)


def real_digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's 1,797 handwritten digits through 8 x 8 PIL images: (N 3 H W), (N,)."""
    data = load_digits()
    images = [Image.fromarray(np.round(image * 255 / 16).astype(np.uint8)) for image in data.images]
    return torch.stack([glyphs.preprocess(image) for image in images]), torch.from_numpy(data.target)


def held_out_pictures(bank: Bank, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N 3 H W) pictures, (N,) characters, (N,) kinds: the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rows = torch.multinomial(bank.weight, count, replacement=True)
        size = glyphs.CONFIG["vision_cfg"]["image_size"]
        parts = [augment.render(bank.images[part], bank.kind[part], size)[0] for part in rows.split(512)]
    return torch.cat(parts), bank.character[rows], bank.kind[rows]


def held_out_figures(model: open_clip.CLIP, pictures: Tensor, characters: Tensor, kinds: Tensor) -> dict[str, float]:
    """Per cent right for several sets of class names, the mean over the templates' softmax."""
    features = encode(model, pictures)
    digit, small = characters < 10, characters >= 36
    tasks = {
        "digits": (list("0123456789"), digit, characters),
        "digits in words": (list(WORDS), digit, characters),
        "capitals": (list(LOWER.upper()), ~digit & ~small, characters - 10),
        "small letters": (list(LOWER), small, characters - 36),
        "letters of either case": ([f"the letter {c}" for c in LOWER], ~digit, (characters - 10) % 26),
        "all 62": (list(CHARACTERS), digit | ~digit, characters),
    }
    figures = {}
    for task, (names, members, truth) in tasks.items():
        p = torch.stack([probabilities(model, features[members], names, t) for t in glyphs.TEMPLATES]).mean(0)
        hits = p.argmax(1) == truth[members]
        figures[task] = percent(hits)
        if task == "digits":
            figures |= {f"digits, {kind}": percent(hits[kinds[members] == i]) for i, kind in enumerate(KINDS)}
    return figures


def figures(model: open_clip.CLIP, held_out: Bank, seed: int) -> dict[str, dict[str, float]]:
    """Everything that the documentation states."""
    model = model.eval()
    pictures, characters, kinds = held_out_pictures(held_out, 8192, seed)
    real, truth = real_digits()
    features = encode(model, real)
    return {
        "held-out rendered": held_out_figures(model, pictures, characters, kinds),
        "scikit-learn digits, names 0..9": accuracies(model, features, list("0123456789"), truth),
        "scikit-learn digits, names zero..nine": accuracies(model, features, list(WORDS), truth),
        "scikit-learn digits, names number 0..number 9": accuracies(
            model, features, [f"number {d}" for d in range(10)], truth
        ),
    }
