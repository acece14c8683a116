import csv
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tiny_clip
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional

from zerolabel import vlms
from zerolabel.annotate import annotate, embed, score, text_features
from zerolabel.annotations import Annotations, candidates
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet, sha256
from zerolabel.errors import InputError

CLASSES = Classes(("zero", "one", "two", "three"), ((), ("uno", "eins"), (), ()))
TEMPLATES = ("a {}", "the number {}", "{}", "graffiti of a small {}")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A CLIP of random weights, with a scale at which its templates disagree."""

    def loud(model):
        model.visual.conv1.weight.data.mul_(20)
        model.logit_scale.data.fill_(4.6)

    folder = tmp_path_factory.mktemp("model")
    tiny_clip.write(folder, change=loud)
    return folder


@pytest.fixture(scope="module")
def encoder(model):
    return vlms.load(f"open_clip:{model}")


def write_digits(folder, count):
    folder.mkdir(parents=True)
    for i, digit in enumerate(load_digits().images[:count]):
        Image.fromarray((digit * 15.9).astype(np.uint8)).save(folder / f"{i:04}.png")
    return folder


@pytest.fixture
def digits(tmp_path):
    return ImageSet.open(write_digits(tmp_path / "digits", 50))


def same(one, other):
    for name in ("votes", "scores", "candidates", "sizes"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert (one.file_names, one.sha256, one.rule) == (other.file_names, other.sha256, other.rule)


@pytest.fixture
def no_image_pass(encoder, monkeypatch):
    def refuse(self, pixels):
        raise AssertionError("an image was encoded again")

    return lambda: monkeypatch.setattr(type(encoder), "encode_images", refuse)


def test_votes_and_scores_against_a_loop_over_images_and_templates(digits, encoder, tmp_path):
    result = annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path / "out", batch_size=7)
    found = result.annotations
    for i in range(len(digits)):
        image = encoder.encode_images(encoder.preprocess(digits.read(i)).unsqueeze(0))[0]
        mean = torch.zeros(4)
        for a, template in enumerate(TEMPLATES):
            logits = []
            for name, aliases in zip(CLASSES.names, CLASSES.aliases, strict=True):
                texts = encoder.encode_texts([template.replace("{}", word) for word in (name, *aliases)])
                logits.append(encoder.logit_scale * float(image @ functional.normalize(texts.mean(0), dim=0)))
            p = torch.tensor(logits).softmax(0)
            assert p[found.votes[i, a]] >= p.max() - 1e-4
            mean += p / len(TEMPLATES)
        assert torch.allclose(found.scores[i], mean, atol=1e-4)
    assert torch.equal(found.candidates, candidates.union_of_votes(found.votes, 4))
    assert found.candidates.sum(1).max() > 1, "the templates never disagree, so this test shows little"
    assert found.file_names == digits.file_names
    assert found.sha256[3] == sha256(digits.path(3).read_bytes())
    assert found.sizes.tolist() == [[8, 8]] * 50
    assert [annotator.template for annotator in found.annotators] == list(TEMPLATES)
    assert {annotator.revision for annotator in found.annotators} == {encoder.revision}
    assert torch.allclose(result.features.norm(dim=1), torch.ones(50))
    same(Annotations.load(tmp_path / "out" / "annotations.parquet"), found)


def test_scoring_in_chunks_changes_nothing(encoder, monkeypatch):
    features = functional.normalize(torch.randn(23, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    texts = text_features(encoder, CLASSES, TEMPLATES)
    votes, scores = score(encoder, features, texts)
    monkeypatch.setattr(sys.modules[text_features.__module__], "ENTRIES", 5 * 4)
    again = score(encoder, features, texts)
    assert torch.equal(again[0], votes)
    assert torch.allclose(again[1], scores, atol=1e-6)


def test_aliases_are_averaged_and_a_class_without_stays(encoder):
    texts = text_features(encoder, CLASSES, ("a {}",))
    assert texts.shape == (1, 4, 16)
    assert torch.allclose(texts[0, 0], encoder.encode_texts(["a zero"])[0], atol=1e-6)
    mean = encoder.encode_texts(["a one", "a uno", "a eins"]).mean(0)
    assert torch.allclose(texts[0, 1], mean / mean.norm(), atol=1e-6)


@pytest.mark.parametrize("spec", ["glyphs", "model"])
def test_the_padding_after_the_texts_is_left_out_and_changes_nothing(spec, model):
    encoder = vlms.load("glyphs" if spec == "glyphs" else f"open_clip:{model}")
    texts = ["a", "a photo of a cat", "seven"]
    with torch.inference_mode():
        whole = functional.normalize(encoder.model.encode_text(encoder.tokenizer(texts)), dim=1)
    seen = []
    handle = encoder.model.transformer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    assert torch.allclose(encoder.encode_texts(texts), whole, atol=1e-6)
    handle.remove()
    assert len(seen) == 1 and max(seen[0][:2]) < encoder.tokenizer(["a"]).shape[1]


def test_fifty_damaged_files_of_five_hundred_are_listed(encoder, tmp_path):
    folder = write_digits(tmp_path / "images", 450)
    good = (folder / "0007.png").read_bytes()
    big = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\2\0\0\0\x26\x2e\x1b\x9d"
    kinds = (good[: len(good) // 2], b"", b"not an image at all\n", big, good[:20] + bytes(20))
    for i in range(50):
        (folder / f"{i:04}{'abcde'[i % 5]}.{('png', 'jpg')[i % 2]}").write_bytes(kinds[i % 5])
    steps = []
    result = annotate(
        ImageSet.open(folder),
        encoder,
        CLASSES,
        TEMPLATES,
        out=tmp_path / "out",
        progress=lambda iterator: (steps.append(step) or step for step in iterator),
    )
    assert (len(result.annotations), len(result.images), len(result.skipped)) == (450, 450, 50)
    assert result.annotations.file_names == tuple(f"{i:04}.png" for i in range(450))
    rows = list(csv.DictReader((tmp_path / "out" / "skipped.csv").open()))
    assert [(row["file_name"], row["reason"]) for row in rows] == list(result.skipped)
    assert all(row["reason"] for row in rows)
    assert (steps[-1].done, steps[-1].total, steps[-1].skipped) == (500, 500, 50)
    assert [step.done for step in steps] == sorted({step.done for step in steps})
    assert steps[-1].seconds_left == 0
    clean = annotate(result.images, encoder, CLASSES, TEMPLATES)
    assert torch.allclose(clean.annotations.scores, result.annotations.scores, atol=1e-5)


def test_new_prompts_classes_and_rules_need_no_image_pass(digits, encoder, tmp_path, no_image_pass):
    first = annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path / "out")
    no_image_pass()
    again = annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path / "out", resume=True)
    same(again.annotations, first.annotations)
    shared = tmp_path / "out" / "features"
    other = annotate(digits, encoder, Classes(("a", "b")), ("{}",), out=tmp_path / "two", cache=shared, rule="topk:1")
    assert other.annotations.candidates.sum(1).tolist() == [1] * 50
    assert not (tmp_path / "two" / "features").exists()


def test_only_changed_images_are_encoded_again(digits, encoder, tmp_path, monkeypatch):
    annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path / "out")
    digits.path(4).write_bytes(digits.path(5).read_bytes())
    Image.new("RGB", (9, 5), "red").save(digits.path(6))
    encode, encoded = type(encoder).encode_images, []
    monkeypatch.setattr(
        type(encoder), "encode_images", lambda self, pixels: encoded.append(len(pixels)) or encode(self, pixels)
    )
    result = annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path / "out", resume=True)
    assert encoded == [1]
    assert torch.equal(result.features[4], result.features[5])
    assert result.annotations.sizes[6].tolist() == [9, 5]


@pytest.mark.parametrize("batch_size", [4, 64])
def test_the_same_content_is_encoded_once_however_often_it_lies_there(encoder, tmp_path, batch_size, monkeypatch):
    folder = write_digits(tmp_path / "images", 10)
    for i in (3, 3, 9, 0):
        (folder / f"copy{len(list(folder.iterdir()))}.png").write_bytes((folder / f"{i:04}.png").read_bytes())
    encode, encoded = type(encoder).encode_images, []
    monkeypatch.setattr(
        type(encoder), "encode_images", lambda self, pixels: encoded.append(len(pixels)) or encode(self, pixels)
    )
    result = annotate(ImageSet.open(folder), encoder, CLASSES, TEMPLATES, batch_size=batch_size)
    assert sum(encoded) == 10 and len(result.annotations) == 14
    of = {name: place for place, name in enumerate(result.annotations.file_names)}
    for copy, original in {"copy10.png": "0003.png", "copy12.png": "0009.png", "copy13.png": "0000.png"}.items():
        assert torch.equal(result.features[of[copy]], result.features[of[original]])
        assert result.annotations.sha256[of[copy]] == result.annotations.sha256[of[original]]
        assert result.annotations.sizes[of[copy]].tolist() == [8, 8]


def test_another_model_or_preprocessing_shares_no_features(digits, encoder, model, tmp_path, monkeypatch):
    annotate(digits, encoder, CLASSES, TEMPLATES, cache=tmp_path / "cache")
    config = {"model_cfg": tiny_clip.TINY, "preprocess_cfg": {"mean": [0.1, 0.1, 0.1]}}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "open_clip_config.json").write_text(json.dumps(config))
    (tmp_path / "other" / "open_clip_model.safetensors").write_bytes(
        (model / "open_clip_model.safetensors").read_bytes()
    )
    other = vlms.load(f"open_clip:{tmp_path / 'other'}")
    steps = list(embed(digits, other, cache=tmp_path / "cache").steps)
    assert steps[-1].cached == 0
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_damaged_shard_is_done_again(digits, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 20)
    first = annotate(digits, encoder, CLASSES, TEMPLATES, cache=tmp_path, batch_size=8)
    shards = sorted(tmp_path.rglob("*.safetensors"))
    assert len(shards) == 3
    shards[0].write_bytes(shards[0].read_bytes()[:-40])
    shards[1].write_bytes(b"")
    again = annotate(digits, encoder, CLASSES, TEMPLATES, cache=tmp_path, batch_size=8)
    assert torch.allclose(again.features, first.features, atol=1e-6)
    assert list(embed(digits, encoder, cache=tmp_path).steps)[-1].cached == 50


def test_a_pass_that_is_left_early_keeps_what_it_encoded(digits, encoder, tmp_path):
    steps = embed(digits, encoder, cache=tmp_path, batch_size=8).steps
    assert next(steps).done == 8
    steps.close()
    assert next(embed(digits, encoder, cache=tmp_path, batch_size=8).steps).cached == 8


KILLED = """
    import sys, time
    import zerolabel.annotate.feature_cache
    from zerolabel import vlms
    from zerolabel.annotate import annotate
    from zerolabel.data.images import ImageSet
    from zerolabel.data.classes import Classes
    zerolabel.annotate.feature_cache.SHARD = 16
    def slowly(steps):
        for step in steps:
            print(step.done, flush=True)
            time.sleep(0.2)
            yield step
    images, model, out = sys.argv[1:]
    annotate(ImageSet.open(images), vlms.load("open_clip:" + model), Classes(("zero", "one", "two", "three")),
             ("a {}", "{}"), out=out, batch_size=8, progress=slowly)
"""


def test_killed_and_resumed_is_as_undisturbed(digits, encoder, model, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(KILLED), digits.root, model, tmp_path / "out"]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, env=os.environ, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 24:
            pass
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "annotations.parquet").exists()
    plain = Classes(("zero", "one", "two", "three"))
    steps = []
    resumed = annotate(
        digits,
        encoder,
        plain,
        ("a {}", "{}"),
        out=tmp_path / "out",
        batch_size=8,
        resume=True,
        progress=lambda iterator: (steps.append(step) or step for step in iterator),
    )
    assert 16 <= steps[-1].cached < 50
    same(resumed.annotations, annotate(digits, encoder, plain, ("a {}", "{}"), batch_size=8).annotations)


def test_a_disk_that_takes_no_more_is_one_sentence(digits, encoder, tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(InputError, match="the disk is full") as caught:
            annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_annotations_are_not_overwritten_unasked(digits, encoder, tmp_path):
    annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path)
    with pytest.raises(InputError, match="holds annotations already"):
        annotate(digits, encoder, CLASSES, TEMPLATES, out=tmp_path)


def test_nothing_readable(encoder, tmp_path):
    (tmp_path / "a.png").write_text("no")
    (tmp_path / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of the 2 images .*a\.png: not an image"):
        annotate(ImageSet.open(tmp_path), encoder, CLASSES, TEMPLATES, out=tmp_path / "out")
    assert len((tmp_path / "out" / "skipped.csv").read_text().splitlines()) == 3
    assert not (tmp_path / "out" / "annotations.parquet").exists()


def test_bad_options_are_refused_before_any_image_is_read(digits, encoder):
    with pytest.raises(InputError, match="did you mean 'union'"):
        annotate(digits, encoder, CLASSES, TEMPLATES, rule="onion")
    with pytest.raises(InputError, match=r"lacks \{\}"):
        annotate(digits, encoder, CLASSES, ("a photo",))
    with pytest.raises(InputError, match="no prompt template"):
        annotate(digits, encoder, CLASSES, ())
    with pytest.raises(InputError, match="batch-size 0"):
        annotate(digits, encoder, CLASSES, TEMPLATES, batch_size=0)


def test_one_image_one_template(digits, encoder):
    result = annotate(digits.select([3]), encoder, CLASSES, ("{}",), rule="soft")
    assert result.annotations.candidates.tolist() == [[True] * 4]
    assert result.annotations.scores.sum() == pytest.approx(1)


def test_the_pass_is_lazy_and_looks_only_a_little_ahead(encoder, tmp_path, monkeypatch):
    images = ImageSet.open(write_digits(tmp_path / "many", 300))
    read, calls = ImageSet.read_bytes, []
    monkeypatch.setattr(ImageSet, "read_bytes", lambda self, i: calls.append(i) or read(self, i))
    embedding = embed(images, encoder, batch_size=8)
    assert calls == []
    next(embedding.steps)
    time.sleep(0.1)
    assert 8 <= len(calls) <= 8 + 2 * 8 + (os.cpu_count() or 1) + 1
    embedding.steps.close()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["ViT-B-32", "ViT-B-16-SigLIP"])
def test_full_size_models_annotate_real_images(architecture, tmp_path):
    encoder = vlms.load(tiny_clip.write(tmp_path / "model", tiny_clip.full_size(architecture)))
    images = ImageSet.open(write_digits(tmp_path / "digits", 200))
    result = annotate(images, encoder, CLASSES, TEMPLATES, out=tmp_path / "out")
    assert len(result.annotations) == 200
    assert (encoder.logit_bias is not None) == ("SigLIP" in architecture)
