from collections import deque

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from zerolabel import vlms
from zerolabel.annotate import annotate, embed, score, text_features, write
from zerolabel.annotations import Annotations
from zerolabel.annotations.annotations import SPARSE_FROM, TOP
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError

DIGITS = Classes(tuple("0123456789"))
TEMPLATES = ("{}", "a handwritten {}")


@pytest.fixture(scope="module")
def encoder():
    return vlms.load("glyphs")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, digit in enumerate(load_digits().images[:50]):
        Image.fromarray((digit * 15.9).astype(np.uint8)).save(folder / f"{i:03}.png")
    (folder / "017.png").write_bytes(b"")
    return ImageSet.open(folder)


def test_ranges_change_nothing_but_the_row_groups(images, encoder, tmp_path, monkeypatch):
    whole = annotate(images, encoder, DIGITS, TEMPLATES, out=tmp_path / "whole")
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 16)
    written = write(images, encoder, DIGITS, TEMPLATES, tmp_path / "parts", batch_size=5)
    parts = Annotations.load(written.path)
    assert pq.read_metadata(written.path).num_row_groups == 4
    assert (parts.file_names, parts.sha256) == (whole.annotations.file_names, whole.annotations.sha256)
    assert torch.equal(parts.votes, whole.annotations.votes)
    assert torch.equal(parts.candidates, whole.annotations.candidates)
    assert torch.allclose(parts.scores, whole.annotations.scores, atol=1e-5)
    assert written.skipped == whole.skipped == (("017.png", "the file is empty"),)
    assert (written.n_images, written.classes) == (49, DIGITS.names)
    assert written.mean_candidates == pytest.approx(float(parts.candidates.sum(1).float().mean()))
    assert not (tmp_path / "parts" / "annotations.parts").exists()


def test_a_rule_that_looks_at_all_images_sees_them_all(images, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 16)
    split = annotate(images, encoder, DIGITS, TEMPLATES, rule="quantile:0.5,0.5").annotations
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 1024)
    whole = annotate(images, encoder, DIGITS, TEMPLATES, rule="quantile:0.5,0.5").annotations
    assert torch.equal(split.candidates, whole.candidates)
    assert whole.candidates.any()


def test_a_killed_run_leaves_parts_that_can_be_read(images, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 16)

    def until_half(steps):
        for step in steps:
            if step.done > 40:
                return
            yield step

    with pytest.raises(FileNotFoundError):
        write(images, encoder, DIGITS, TEMPLATES, tmp_path / "out", batch_size=8, progress=until_half)
    left = Annotations.load(tmp_path / "out" / "annotations.parts")
    assert left.file_names[0] == "000.png" and 31 <= len(left) < 49


def test_of_many_classes_the_highest_scores_are_kept(images, encoder, tmp_path):
    names = tuple(f"made-up {i}" for i in range(SPARSE_FROM + 200))
    result = annotate(images.select(range(12)), encoder, Classes(names), ("{}",), out=tmp_path / "out", rule="topk:3")
    found = result.annotations
    votes, scores = score(encoder, result.features, text_features(encoder, Classes(names), ("{}",)))
    assert torch.equal(found.votes, votes)
    assert ((found.scores > 0).sum(1) == TOP).all()
    best = scores.topk(TOP, dim=1)
    assert torch.allclose(found.scores.gather(1, best.indices), best.values)
    assert found.candidates.sum(1).tolist() == [3] * 12
    found.save(tmp_path / "again.parquet")
    again = Annotations.load(tmp_path / "again.parquet")
    assert torch.equal(again.scores, found.scores) and torch.equal(again.candidates, found.candidates)


class Rows(TorchDispatchMode):
    """The most rows of a matrix with a column per class that torch makes; transposed text features are no such."""

    def __init__(self, n_classes):
        super().__init__()
        self.n_classes, self.most = n_classes, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.shape[1:] == (self.n_classes,) and result.is_contiguous():
            self.most = max(self.most, len(result))
        return result


def test_ten_thousand_classes_never_make_a_matrix_of_all_images(images, encoder, tmp_path, monkeypatch):
    names = tuple(f"class {i}" for i in range(10_000))
    generator = torch.Generator().manual_seed(0)
    texts = functional.normalize(torch.randn(2, len(names), encoder.dimensions, generator=generator), dim=2)
    monkeypatch.setattr("zerolabel.annotate.writing.text_features", lambda *_: texts)
    monkeypatch.setattr("zerolabel.annotate.feature_cache.SHARD", 16)
    with Rows(len(names)) as rows:
        written = write(images, encoder, Classes(names), TEMPLATES, tmp_path, rule="union")
    assert rows.most == 16
    stored = pq.read_table(written.path)
    assert {len(ids) for ids in stored["score_ids"].to_pylist()} == {TOP}
    assert stored.nbytes < 2000 * len(images)
    found, embedding = Annotations.load(written.path), embed(images, encoder, cache=tmp_path / "features")
    deque(embedding.steps, 0)
    readable = [i for i in range(len(images)) if i != 17]
    for row, feature in enumerate(embedding.features[readable]):
        p = torch.stack([(encoder.logit_scale * text @ feature).softmax(0) for text in texts])
        assert found.votes[row].tolist() == p.argmax(1).tolist()
        assert found.candidates[row].nonzero().flatten().tolist() == sorted(set(p.argmax(1).tolist()))
        best = p.mean(0).topk(TOP)
        assert torch.allclose(found.scores[row, best.indices], best.values, atol=1e-6)


def test_pixels_by_the_image_and_the_rest_by_the_batch_are_the_whole_preprocessing(images, encoder, tmp_path):
    some = [images.read(i) for i in range(5)]
    batch = encoder.normalize(torch.stack([encoder.pixels(image) for image in some]))
    assert torch.equal(batch, torch.stack([encoder.preprocess(image) for image in some]))


def test_an_unknown_engine_is_refused(images, encoder, tmp_path):
    with pytest.raises(InputError, match="--engine rai: there is no such engine; did you mean 'ray'"):
        write(images, encoder, DIGITS, TEMPLATES, tmp_path / "out", engine="rai")
