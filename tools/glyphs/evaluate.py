"""Zero-shot accuracy: on rendered characters of held-out fonts and pen shapes, and on scikit-learn's real digits.

``python -m tools.glyphs.evaluate`` measures the stored weights again and renews the accuracies of the results file.
"""

import datetime
import json
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torch import Tensor

from tools.glyphs import augment
from tools.glyphs.captions import WORDS
from tools.glyphs.render import KINDS, Bank, load_or_build
from tools.glyphs.strokes import CHARACTERS
from zerolabel.vlms import glyphs

RESULTS = Path("benchmarks/results/glyphs.json")
CACHE = Path("build/glyphs")
PEN_GLYPHS = 30  # held-out pen drawings of each letter; digits get three times as many
LOWER = "abcdefghijklmnopqrstuvwxyz"


@torch.no_grad()
def probabilities(model: open_clip.CLIP, features: Tensor, names: list[str], template: str) -> Tensor:
    """(N D) image features -> (N C) softmax over the names in one template."""
    text = model.encode_text(glyphs.tokenize([template.format(name) for name in names]), normalize=True)
    return (model.logit_scale.exp() * features @ text.T).softmax(1)


@torch.no_grad()
def encode(model: open_clip.CLIP, pictures: Tensor) -> Tensor:
    """(N 3 H W) -> (N D), normalized, in pieces."""
    return torch.cat([model.encode_image(part, normalize=True) for part in pictures.split(512)])


def accuracies(model: open_clip.CLIP, features: Tensor, names: list[str], truth: Tensor) -> dict[str, float]:
    """Per cent right with each template, with their mean probability, and how often the templates disagree."""
    each = {template: probabilities(model, features, names, template) for template in glyphs.TEMPLATES}
    figures = {template: percent(p.argmax(1) == truth) for template, p in each.items()}
    stack = torch.stack(list(each.values()))
    votes = stack.argmax(2)
    named = torch.zeros_like(stack[0], dtype=torch.bool).scatter_(1, votes.T, True)
    return figures | {
        "ensemble": percent(stack.mean(0).argmax(1) == truth),
        "templates disagree": percent((votes != votes[0]).any(0)),
        "classes named per image": round(named.sum(1).float().mean().item(), 3),
        "truth among votes": percent((votes == truth).any(0)),
    }


def percent(hits: Tensor) -> float:
    """The share of true entries in per cent."""
    return round(100 * hits.float().mean().item(), 2)


def real_digits() -> tuple[list[Image.Image], Tensor]:
    """scikit-learn's 1,797 handwritten digits as 8 x 8 gray images, and what they are."""
    data = load_digits()
    return [Image.fromarray(np.round(i * 255 / 16).astype(np.uint8)) for i in data.images], torch.from_numpy(
        data.target
    )


def changed(images: list[Image.Image]) -> dict[str, list[Image.Image]]:
    """The same digits as other files might hold them."""
    enlarged = [i.resize((20, 20), Image.Resampling.BICUBIC) for i in images]
    return {
        "dark on light": [ImageOps.invert(i) for i in images],
        "20 x 20 within 28 x 28": [ImageOps.expand(i, 4) for i in enlarged],
        "200 x 260, dark on light, in color": [
            ImageOps.invert(ImageOps.pad(i, (200, 260))).convert("RGB") for i in images
        ],
    }


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
    images, truth = real_digits()
    features = encode_images(model, images)
    digits = [str(digit) for digit in range(10)]
    names = {"0..9": digits, "zero..nine": list(WORDS), "number 0..number 9": [f"number {d}" for d in digits]}
    found = {"held-out rendered": held_out_figures(model, pictures, characters, kinds)}
    for form, called in names.items():
        found[f"scikit-learn digits, names {form}"] = accuracies(model, features, called, truth)
    found["scikit-learn digits changed, names 0..9, ensemble"] = {
        change: accuracies(model, encode_images(model, others), digits, truth)["ensemble"]
        for change, others in changed(images).items()
    }
    return found


def encode_images(model: open_clip.CLIP, images: list[Image.Image]) -> Tensor:
    """Images as a user has them -> (N D) features."""
    return encode(model, torch.stack([glyphs.preprocess(image) for image in images]))


def main() -> None:
    """Measure the stored weights and renew the results file."""
    facts = json.loads(RESULTS.read_text())
    if facts["revision"] != glyphs.REVISION:
        raise SystemExit(f"{RESULTS} describes the weights {facts['revision']}, but {glyphs.REVISION} are stored")
    held_out = load_or_build(CACHE, held_out=True, per_character=PEN_GLYPHS, seed=facts["seed"] + 1)
    facts["evaluated"] = {"command": "python -m tools.glyphs.evaluate", "date": datetime.date.today().isoformat()}
    facts["accuracy in per cent"] = figures(glyphs.load()[0], held_out, facts["seed"])
    RESULTS.write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))


if __name__ == "__main__":
    main()
