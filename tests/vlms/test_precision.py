import pytest
import torch
from tiny_clip import TINY, write

from zerolabel import vlms
from zerolabel.annotate import embed
from zerolabel.annotate.embedding import open_store
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.networks.precision import best_precision
from zerolabel.vlms import clip


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    return write(tmp_path_factory.mktemp("models") / "clip", TINY)


def features(images, encoder, cache=None):
    embedding = embed(images, encoder, cache=cache)
    list(embedding.steps)
    return embedding.features.clone()


@pytest.fixture
def images():
    return ImageSet.from_arrays(torch.randint(256, (20, 40, 32, 3), dtype=torch.uint8).numpy())


def test_bfloat16_changes_features_little_and_texts_and_weights_not_at_all(name, images):
    exact, fast = (vlms.load(name, precision=precision) for precision in ("float32", "bfloat16"))
    before, after = features(images, exact), features(images, fast)
    cosine = (before * after).sum(1)
    assert not torch.equal(before, after) and float(cosine.min()) > 0.999 and after.dtype == torch.float32
    assert torch.equal(exact.encode_texts(["a cat"]), fast.encode_texts(["a cat"]))
    assert exact.revision == fast.revision
    assert {p.dtype for p in fast.model.parameters()} == {torch.float32}


def test_features_of_each_precision_have_a_cache_of_their_own(name, images, tmp_path):
    kinds = [{"precision": "float32"}, {"precision": "bfloat16"}, {"feature_precision": "float16"}]
    for kind in kinds:
        encoder = vlms.load(name, **kind)
        found = features(images, encoder, tmp_path)
        assert torch.equal(features(images, vlms.load(name, **kind), tmp_path), found)
    folders = sorted(tmp_path.iterdir())
    assert len(folders) == 3
    halved = open_store(vlms.load(name, feature_precision="float16"), tmp_path, images)
    (shard,) = halved.folder.glob("*.safetensors")
    (whole,) = open_store(vlms.load(name), tmp_path, images).folder.glob("*.safetensors")
    assert shard.stat().st_size < whole.stat().st_size
    assert torch.equal(found, found.half().float())


def test_the_fastest_precision_is_chosen_for_towers_that_gain_by_it(name, monkeypatch):
    assert vlms.load(name).precision == "float32"
    monkeypatch.setattr(clip, "LARGE", 1)
    assert vlms.load(name).precision == best_precision("cpu")
    assert vlms.load("glyphs", precision="bfloat16").precision == "bfloat16"
    with pytest.raises(InputError, match="--precision float8: invalid value"):
        vlms.load(name, precision="float8")
    with pytest.raises(InputError, match="--store-features bfloat16: invalid value"):
        vlms.load(name, feature_precision="bfloat16")
