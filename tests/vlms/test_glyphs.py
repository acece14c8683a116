"""The embedded model: small, offline, an ordinary CLIP, and able to read."""

import socket

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from zerolabel.vlms import glyphs

FLOOR = 0.75  # per template; the measured figures are in benchmarks/results/glyphs.json


@pytest.fixture(scope="module")
def model() -> open_clip.CLIP:
    return glyphs.load()[0]


@pytest.fixture(scope="module")
def digits(model: open_clip.CLIP) -> tuple[Tensor, Tensor]:
    data = load_digits()
    images = [Image.fromarray(np.round(image * 255 / 16).astype(np.uint8)) for image in data.images]
    with torch.no_grad():
        features = model.encode_image(torch.stack([glyphs.preprocess(i) for i in images]), normalize=True)
    return features, torch.from_numpy(data.target)


def votes(model: open_clip.CLIP, features: Tensor, names: list[str], template: str) -> Tensor:
    with torch.no_grad():
        text = model.encode_text(glyphs.tokenize([template.format(name) for name in names]), normalize=True)
    return (features @ text.T).argmax(1)


def test_the_weights_are_small() -> None:
    assert glyphs.WEIGHTS.stat().st_size <= 4 * 1024 * 1024


def test_it_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model, preprocess, tokenizer = glyphs.load()
    assert type(model) is open_clip.CLIP
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    picture = preprocess(Image.new("RGB", (20, 30)))[None]
    assert model.encode_image(picture).shape == model.encode_text(tokenizer(["a"])).shape


def test_the_vision_tower_is_an_ordinary_vision_transformer(model: open_clip.CLIP) -> None:
    assert isinstance(model.visual, open_clip.transformer.VisionTransformer)
    assert hasattr(model.visual, "class_embedding")
    assert hasattr(model.visual.transformer, "resblocks")


def test_the_end_token_is_the_largest_and_always_there() -> None:
    tokens = glyphs.tokenize(["", "seven", "x" * 1000, "é" * 500, "字母 🙂"])
    assert tokens.shape == (5, glyphs.CONFIG["text_cfg"]["context_length"])
    assert (tokens.max(1).values == glyphs.END).all()
    assert ((tokens == glyphs.END).sum(1) == 1).all()
    assert (tokens[:, 0] == glyphs.START).all()
    assert glyphs.CONFIG["text_cfg"]["vocab_size"] == glyphs.END + 1


def test_different_texts_have_different_tokens() -> None:
    assert not torch.equal(*glyphs.tokenize(["a", "b"]))
    assert not torch.equal(*glyphs.tokenize(["ä", "ö"]))
    assert torch.equal(glyphs.tokenize("a"), glyphs.tokenize(["a"]))


def test_padding_does_not_change_the_text_feature(model: open_clip.CLIP) -> None:
    tokens = glyphs.tokenize(["seven"])
    other = torch.where(tokens == glyphs.PAD, 5, tokens)
    with torch.no_grad():
        torch.testing.assert_close(model.encode_text(tokens), model.encode_text(other))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (5, 40), (300, 200)])
def test_any_picture_can_be_preprocessed(mode: str, size: tuple[int, int]) -> None:
    picture = glyphs.preprocess(Image.new(mode, size))
    side = glyphs.CONFIG["vision_cfg"]["image_size"]
    assert picture.shape == (3, side, side)
    assert picture.isfinite().all()


def test_polarity_and_contrast_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    ink = np.zeros((28, 28), np.uint8)
    ink[6:22, 12:16] = rng.integers(100, 200, (16, 4))
    pictures = [glyphs.preprocess(Image.fromarray(values)) for values in (ink, 255 - ink)]
    torch.testing.assert_close(pictures[0], pictures[1], atol=0.02, rtol=0)
    faint = glyphs.preprocess(Image.fromarray(ink // 4))
    assert (faint - pictures[0]).abs().mean() < 0.05


@pytest.mark.parametrize("template", glyphs.TEMPLATES)
def test_it_reads_real_handwritten_digits(model: open_clip.CLIP, digits: tuple[Tensor, Tensor], template: str) -> None:
    features, truth = digits
    accuracy = (votes(model, features, list("0123456789"), template) == truth).float().mean()
    assert accuracy > FLOOR


def test_number_words_work_too(model: open_clip.CLIP, digits: tuple[Tensor, Tensor]) -> None:
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    accuracy = (votes(model, digits[0], words, "a photo of the number {}.") == digits[1]).float().mean()
    assert accuracy > FLOOR


def test_templates_disagree(model: open_clip.CLIP, digits: tuple[Tensor, Tensor]) -> None:
    assert len(set(glyphs.TEMPLATES)) == 8
    assert all(template.count("{}") == 1 for template in glyphs.TEMPLATES)
    each = torch.stack([votes(model, digits[0], list("0123456789"), t) for t in glyphs.TEMPLATES])
    assert (each != each[0]).any(0).float().mean() > 0.02


def test_the_revision_is_the_content_of_the_weights() -> None:
    assert glyphs.revision() == glyphs.REVISION
    assert len(glyphs.REVISION) == 12
