"""Embeddings in the place of images: the same annotations, in every format; and what is refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from zerolabel import vlms
from zerolabel.annotate import annotate
from zerolabel.annotate.embeddings import write_embeddings
from zerolabel.data.classes import Classes
from zerolabel.data.embeddings import open_embeddings
from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.files import alone

CLASSES = Classes(("zero", "one", "two", "three"), ((), ("uno", "eins"), (), ()))
TEMPLATES = ("a {}", "the number {}", "{}")
N = 40


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images, a model, and the embeddings of the images in every format that is read."""

    def loud(model):
        model.visual.conv1.weight.data.mul_(20)
        model.logit_scale.data.fill_(4.6)

    root = tmp_path_factory.mktemp("embeddings")
    tiny_clip.write(root / "model", change=loud)
    (root / "images" / "sub").mkdir(parents=True)
    for i, digit in enumerate(load_digits().images[:N]):
        Image.fromarray((digit * 15.9).astype(np.uint8)).save(root / "images" / "sub" / f"{i:04}.png")
    encoder = vlms.load_model(f"open_clip:{root / 'model'}")
    images = ImageSet.open(root / "images")
    write_embeddings(images, encoder, root / "own")
    found = annotate(images, encoder, CLASSES, TEMPLATES)
    rows, names = found.features.numpy(), list(images.file_names)
    (root / "retrieval" / "img_emb").mkdir(parents=True)
    (root / "retrieval" / "metadata").mkdir()
    for part in range(11):  # the eleventh must not come before the third
        own = slice(4 * part, 4 * part + 4) if part < 10 else slice(40, 40)
        own = own if part < 10 else slice(N, N)
        np.save(root / "retrieval" / "img_emb" / f"img_emb_{part}.npy", rows[own])
        table = pa.table(
            {"image_path": pa.array(names[own], pa.string()), "caption": pa.array(["x"] * len(names[own]))}
        )
        pq.write_table(table, root / "retrieval" / "metadata" / f"metadata_{part}.parquet")
    np.save(root / "rows.npy", rows)
    (root / "rows.txt").write_text("\n".join(names) + "\n")
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    pq.write_table(pa.table({"path": names, "vector": vectors}), root / "table.parquet", row_group_size=7)
    pq.write_table(
        pa.table({"vector": pa.array(rows.tolist(), pa.list_(pa.float32())), "file": names}), root / "lists.parquet"
    )
    save_file({"embeddings": torch.from_numpy(rows.copy())}, root / "tensor.safetensors")
    (root / "tensor.csv").write_text("file_name,other\n" + "".join(f"{name},1\n" for name in names))
    return root


def same(one, other):
    for name in ("votes", "scores", "candidates"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert one.file_names == other.file_names


@pytest.mark.parametrize(
    "source", ["own", "retrieval", "rows.npy", "table.parquet", "lists.parquet", "tensor.safetensors"]
)
def test_annotations_are_those_of_the_images_to_the_last_bit(place, source):
    model = f"open_clip:{place / 'model'}"
    expected = annotate(ImageSet.open(place / "images"), vlms.load(model), CLASSES, TEMPLATES)
    name = f"embeddings:{place / source}" + ("" if source == "own" else f"@{model}")
    images = ImageSet.open(name)
    with pytest.raises(Exception, match="without pixels"):
        images.read(0)
    found = annotate(images, vlms.load(name), CLASSES, TEMPLATES)
    same(found.annotations, expected.annotations)
    assert torch.equal(found.features, expected.features)
    if source == "own":
        assert found.annotations.sha256 == expected.annotations.sha256
        assert torch.equal(found.annotations.sizes, expected.annotations.sizes)
    assert len(set(found.annotations.sha256)) == len(set(expected.annotations.sha256))


def test_images_find_their_embeddings_by_content_and_else_by_name(place):
    expected = annotate(ImageSet.open(place / "images"), vlms.load(f"open_clip:{place / 'model'}"), CLASSES, TEMPLATES)
    for source in ("own", f"rows.npy@open_clip:{place / 'model'}"):
        images = ImageSet.open(place / "images").select(range(5, 15))
        found = annotate(images, vlms.load(f"embeddings:{place / source}"), CLASSES, TEMPLATES)
        same(found.annotations, expected.annotations.select(torch.arange(5, 15)))


def test_an_image_without_an_embedding_is_skipped(place, tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "0000.png")
    Image.open(place / "images" / "sub" / "0003.png").save(tmp_path / "other.png")
    encoder = vlms.load(f"embeddings:{place / 'own'}")
    found = annotate(ImageSet.open(tmp_path), encoder, CLASSES, TEMPLATES)
    assert found.annotations.file_names == ("other.png",)
    ((name, why),) = found.skipped
    assert name == "0000.png" and "has no embedding of it" in why


@pytest.mark.parametrize("ending", ["npy", "parquet", "safetensors"])
def test_class_embeddings_from_a_file(place, tmp_path, ending):
    from zerolabel.annotate import text_features

    model = vlms.load(f"open_clip:{place / 'model'}")
    texts = text_features(model, CLASSES, TEMPLATES[:1] if ending == "parquet" else TEMPLATES)
    file = tmp_path / f"classes.{ending}"
    if ending == "npy":
        np.save(file, texts.numpy())
    elif ending == "safetensors":
        save_file({"texts": texts.contiguous()}, file, {"logit_scale": str(model.logit_scale)})
    else:  # in another order
        table = {"class": list(reversed(CLASSES.names)), "embedding": texts[0].flip(0).tolist()}
        pq.write_table(pa.table(table), file)
    name = f"embeddings:{place / 'rows.npy'}@{file}"
    encoder = vlms.load(name)
    assert encoder.logit_scale == pytest.approx(model.logit_scale if ending == "safetensors" else 100)
    prompts = vlms.templates(name, None)
    assert len(prompts) == len(texts)
    found = annotate(ImageSet.open(name), encoder, CLASSES, prompts)
    expected = annotate(ImageSet.open(place / "images"), model, CLASSES, TEMPLATES[: len(texts)])
    assert torch.equal(found.annotations.votes, expected.annotations.votes)
    with pytest.raises(InputError, match="classes"):
        annotate(ImageSet.open(name), encoder, Classes(("zero", "four")), prompts)
    with pytest.raises(InputError, match="leave it out"):
        vlms.templates(name, "openai")


def broken(place, tmp_path, rows, names, suffix="@model"):
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "rows.txt").write_text("\n".join(names))
    return f"embeddings:{tmp_path / 'rows.npy'}" + (f"@open_clip:{place / 'model'}" if suffix else "")


MISTAKES = {
    "another dimension": (lambda x: x[:, :8], "8 dimensions and those of the texts 16"),
    "not finite": (lambda x: np.where(np.arange(len(x))[:, None] == 3, np.nan, x), "row 3 of .* not finite"),
    "not of length 1": (lambda x: 3 * x, "row 0 of .* has length 3, .* divide each row"),
    "empty rows": (lambda x: x * (np.arange(len(x))[:, None] != 7), "row 7 of .* has length 0"),
    "integers": (lambda x: (100 * x).astype(np.int8), "int8"),
    "another shape": (lambda x: x[None], "1 x 40 x 16"),
    "fewer rows": (lambda x: x[:-1], "39 rows and .* 40 file names"),
    "objects": (lambda x: np.array([{}], dtype=object), "cannot be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_vectors_are_sentences(place, tmp_path, mistake):
    change, told = MISTAKES[mistake]
    names = open_embeddings(str(place / "rows.npy")).file_names
    name = broken(place, tmp_path, change(np.load(place / "rows.npy")), names)
    with pytest.raises(InputError, match=told) as raised:
        vlms.load(name)
    assert str(raised.value).count(". ") == 0 and str(raised.value).endswith(".")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda names: [*names[:-1], names[0]], "more than once"),
        (lambda names: [*names[:4], "", *names[5:]], "row 4 no file name"),
    ],
)
def test_mistakes_in_names_are_sentences(place, tmp_path, change, told):
    names = list(open_embeddings(str(place / "rows.npy")).file_names)
    with pytest.raises(InputError, match=told):
        vlms.load(broken(place, tmp_path, np.load(place / "rows.npy"), change(names)))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere", "there is no folder or file of embeddings"),
        ("rows.npy", "does not say what made the embeddings"),
        ("rows.npy@open_clip", "neither a model with a text encoder"),
        ("rows.npy@missing.npy", "there is no file of class embeddings"),
        ("images", "holds no embeddings"),
        ("model", "hold"),
    ],
)
def test_mistakes_in_the_name_are_sentences(place, source, told, monkeypatch):
    monkeypatch.chdir(place)
    with pytest.raises(InputError, match=told):
        vlms.load(f"embeddings:{source}")


def test_a_model_that_has_changed_since_is_refused(place, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    for file in (place / "own").iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    record = json.loads((own / "embeddings.json").read_text())
    record["origin"]["revision"] = "0" * 16
    (own / "embeddings.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="other weights now"):
        vlms.load(f"embeddings:{own}")
    (own / "images.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged"):
        vlms.load(f"embeddings:{own}")


def test_a_model_of_images_refuses_embeddings(place):
    images = ImageSet.open(place / "own")
    with pytest.raises(InputError, match=r"give --vlm embeddings:.*@open_clip"):
        annotate(images, vlms.load(f"open_clip:{place / 'model'}"), CLASSES, TEMPLATES)
    with pytest.raises(InputError, match="encodes no image"):
        vlms.load_model(f"embeddings:{place / 'own'}")


def test_float16_is_half_the_size_and_nearly_the_same(place, tmp_path):
    encoder = vlms.load_model(f"open_clip:{place / 'model'}")
    done = write_embeddings(ImageSet.open(place / "images"), encoder, tmp_path / "half", dtype="float16")
    assert (done.n_images, done.dimensions) == (N, 16)
    found = open_embeddings(str(tmp_path / "half")).rows(np.arange(N))
    exact = open_embeddings(str(place / "own")).rows(np.arange(N))
    assert torch.allclose(found, exact, atol=1e-3) and not torch.equal(found, exact)
    assert torch.allclose(found.norm(dim=1), torch.ones(N), atol=1e-6)
    with pytest.raises(InputError, match="--overwrite"):
        write_embeddings(ImageSet.open(place / "images"), encoder, tmp_path / "half")


LEFT = {
    "nothing": (),
    "a file of vectors": ("features-00000.safetensors",),
    "all but the record": ("features-00000.safetensors", "features-00001.safetensors", "images.parquet"),
    "a list of what was skipped": ("skipped.csv", "features-00000.safetensors"),
    "half a file": (".features-00000.safetensors.123456@elsewhere.partial",),
    "a lock": (".zerolabel.lock",),
}


@pytest.mark.parametrize("left", LEFT)
def test_what_an_interruption_left_is_written_again(left, place, tmp_path):
    for name in LEFT[left]:
        (tmp_path / name).write_bytes(b"PAR1")
    encoder = vlms.load_model(f"open_clip:{place / 'model'}")
    write_embeddings(ImageSet.open(place / "images"), encoder, tmp_path, cache=place / "cache")
    found, whole = (open_embeddings(str(folder)) for folder in (tmp_path, place / "own"))
    assert found.file_names == whole.file_names
    assert torch.equal(found.rows(np.arange(N)), whole.rows(np.arange(N)))


@pytest.mark.parametrize("name", ["a.png", "embeddings.txt", "features.safetensors", "features-0.safetensors", "sub"])
def test_what_is_no_leftover_of_embeddings_stays(name, place, tmp_path):
    (tmp_path / name).mkdir() if name == "sub" else (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "images.parquet").write_bytes(b"PAR1")
    encoder = vlms.load_model(f"open_clip:{place / 'model'}")
    with pytest.raises(InputError, match="holds something else"):
        write_embeddings(ImageSet.open(place / "images"), encoder, tmp_path, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "images.parquet"])


def test_embeddings_stay_where_the_images_that_would_replace_them_are_unreadable(place, tmp_path):
    encoder = vlms.load_model(f"open_clip:{place / 'model'}")
    write_embeddings(ImageSet.open(place / "images"), encoder, tmp_path / "out", cache=place / "cache")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "0.png").write_bytes(b"torn")
    with pytest.raises(InputError):
        write_embeddings(ImageSet.open(tmp_path / "bad"), encoder, tmp_path / "out", overwrite=True)
    with alone(tmp_path / "out"), pytest.raises(InputError, match="another command is running"):
        write_embeddings(ImageSet.open(place / "images"), encoder, tmp_path / "out", overwrite=True)
    assert len(open_embeddings(str(tmp_path / "out")).file_names) == N


def test_rows_come_from_all_blocks_in_any_order(place):
    whole = torch.from_numpy(np.load(place / "rows.npy"))
    found = open_embeddings(str(place / "retrieval"))
    index = np.array([39, 0, 5, 4, 38, 5])
    assert torch.equal(found.rows(index), whole[index])
