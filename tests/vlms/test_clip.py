import json
import shutil

import open_clip
import pytest
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from tiny_clip import PIXELS, SIGLIP, TINY, write
from torch.nn import functional

from zerolabel import vlms
from zerolabel.errors import InputError
from zerolabel.vlms.prompts import TEMPLATES

KINDS = {"clip": TINY, "siglip": {**TINY, **SIGLIP}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for kind, config in KINDS.items():
        write(root / kind, config, PIXELS)
    return {kind: root / kind for kind in KINDS}


@pytest.fixture(scope="module", params=list(KINDS))
def encoder(request, folders):
    return vlms.load(f"open_clip:{folders[request.param]}")


IMAGES = [Image.fromarray((digit * 15.9).astype("uint8")).convert("RGB") for digit in load_digits().images[:6]]


def test_features_are_those_of_open_clip(encoder, folders):
    folder = encoder.name.removeprefix("open_clip:")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(["one", "two"])
    pixels = torch.stack([preprocess(image) for image in IMAGES])
    assert torch.equal(torch.stack([encoder.preprocess(image) for image in IMAGES]), pixels)
    with torch.no_grad():
        images = model.eval().encode_image(pixels, normalize=True)
        texts = model.encode_text(tokens, normalize=True)
    assert torch.allclose(encoder.encode_images(pixels), images, atol=1e-6)
    assert torch.allclose(encoder.encode_texts(["one", "two"]), texts, atol=1e-6)
    assert torch.allclose(encoder.encode_texts(["one", "two"], batch_size=1), texts, atol=1e-6)


def test_facts(encoder):
    assert encoder.image_size == 32
    assert encoder.n_parameters == sum(p.numel() for p in encoder.model.parameters())
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert encoder.logit_bias == (None if encoder.name.endswith("/clip") else -10)
    assert not encoder.model.training
    assert not any(p.requires_grad for p in encoder.model.parameters())


def test_probabilities_are_those_given_that_exactly_one_class_is_right(encoder):
    images = functional.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    texts = functional.normalize(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    logits = encoder.logit_scale * images.double() @ texts.double().T
    match = (logits + (encoder.logit_bias or 0)).sigmoid()
    alone = torch.stack([match[:, j] * (1 - match).prod(1) / (1 - match[:, j]) for j in range(3)], 1)
    assert torch.allclose(encoder.probabilities(images, texts).double(), alone / alone.sum(1, keepdim=True), atol=1e-5)


def test_revision_follows_the_weights_and_the_architecture(folders, tmp_path):
    first = vlms.load(f"open_clip:{folders['clip']}")
    again = vlms.load(f"open_clip:{folders['clip'] / vlms._WEIGHTS}")
    assert first.revision == again.revision
    copy = tmp_path / "copy"
    shutil.copytree(folders["clip"], copy)
    weights = load_file(copy / vlms._WEIGHTS)
    weights["logit_scale"] = weights["logit_scale"] + 1
    save_file(weights, copy / vlms._WEIGHTS)
    assert vlms.load(f"open_clip:{copy}").revision != first.revision
    config = {**TINY, "quick_gelu": True}
    shutil.copy(folders["clip"] / vlms._WEIGHTS, copy)
    (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": PIXELS}))
    assert vlms.load(f"open_clip:{copy}").revision != first.revision
    (copy / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {"mean": [0, 0, 0]}}))
    other = vlms.load(f"open_clip:{copy}")
    assert other.revision == first.revision
    assert other.preprocessing != first.preprocessing == again.preprocessing


def test_no_word_of_random_weights_while_loading(folders, caplog):
    vlms.load(f"open_clip:{folders['clip']}")
    assert not [record for record in caplog.records if "random" in record.getMessage().lower()]


def test_models_of_the_hub_come_from_the_local_cache(folders, tmp_path, monkeypatch):
    for repository in ("laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", "someone/something"):
        home = tmp_path / ("models--" + repository.replace("/", "--"))
        (home / "refs").mkdir(parents=True)
        (home / "refs" / "main").write_text("0" * 40)
        shutil.copytree(folders["clip"], home / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    for spec in (vlms.DEFAULT_PHOTO_VLM, "hf-hub:someone/something"):
        encoder = vlms.load(spec)
        assert (encoder.name, encoder.image_size) == (spec, 32)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("glyph", "did you mean 'glyphs'"),
        ("open_clip:", "unknown model"),
        ("open_clip:ViT-B-32", "did you mean open_clip:ViT-B-32/datacomp"),
        ("open_clip:vit_b_32/openai", "did you mean open_clip:ViT-B-32/openai"),
        ("open_clip:ViT-B-33/openai", "did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32", "open_clip has no model 'ViT-B-32'"),
        ("open_clip:qqq/www", "open_clip.list_pretrained"),
        ("open_clip:ViT-B-32/opena", "did you mean 'openai'"),
        ("open_clip:ViTamin-S/datacomp1b", "only as pickle"),
        ("open_clip:/no/such/folder", "no folder or file /no/such/folder"),
        ("open_clip:model.safetensors", "no folder or file model.safetensors"),
        ("hf-hub:not a name", "not a repository name"),
    ],
)
def test_unknown_models(spec, message):
    with pytest.raises(InputError, match=message) as caught:
        vlms.load(spec)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("spec", [vlms.DEFAULT_PHOTO_VLM, "hf-hub:someone/something"])
def test_without_a_network_the_choices_are_named(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        InputError, match=r"network cannot be reached; where it can, .*`hf download .* --vlm open_clip:model"
    ):
        vlms.load(spec)


def test_damaged_folders(folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(folders["clip"], folder)
    whole = (folder / vlms._WEIGHTS).read_bytes()

    def refused(message, spec=f"open_clip:{folder}"):
        with pytest.raises(InputError, match=message) as caught:
            vlms.load(spec)
        assert "\n" not in str(caught.value)

    (folder / vlms._WEIGHTS).write_bytes(whole[:1000])
    refused("no usable open_clip model")
    (folder / vlms._WEIGHTS).write_bytes(whole)
    save_file({"a": torch.zeros(1)}, folder / "other.safetensors")
    refused("no usable open_clip model", f"open_clip:{folder / 'other.safetensors'}")
    (folder / "open_clip_config.json").write_text("{}")
    refused("no usable open_clip model")
    (folder / "open_clip_config.json").unlink()
    refused("lacks open_clip_config.json")
    (folder / vlms._WEIGHTS).rename(folder / "third.safetensors")
    refused("several .safetensors")
    for path in folder.glob("*.safetensors"):
        path.unlink()
    torch.save({}, folder / "open_clip_pytorch_model.bin")
    refused("no pickle is ever loaded")
    refused("no pickle is ever loaded", f"open_clip:{folder / 'open_clip_pytorch_model.bin'}")


def test_templates_default_to_the_models_own():
    assert vlms.templates("glyphs", None) == vlms.templates("open_clip:RN50/openai", "glyphs")
    assert vlms.templates("open_clip:RN50/openai", None) == TEMPLATES["generic"]
    assert vlms.templates("glyphs", "small") == TEMPLATES["small"]
