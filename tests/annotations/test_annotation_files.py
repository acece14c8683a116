"""Annotations from elsewhere: a file that is not what it should be is refused in one sentence."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.annotations.annotations import SPARSE_FROM
from zerolabel.errors import InputError

N, C, A = 40, 5, 3


def made(n_classes=C, seed=0):
    random_ = torch.Generator().manual_seed(seed)
    scores = torch.rand(N, n_classes, generator=random_) * (torch.rand(N, n_classes, generator=random_) > 0.5)
    votes = torch.randint(-1, n_classes, (N, A), generator=random_)
    candidates = torch.rand(N, n_classes, generator=random_) > 0.6
    labels = torch.full((N,), -1)
    labels[::7] = torch.arange(len(labels[::7])) % n_classes
    return Annotations(
        classes=tuple(f"class {c} é" for c in range(n_classes)),
        file_names=tuple(f"d/{i:03}.png" for i in range(N)),
        sha256=tuple(f"{i:064x}" for i in range(N)),
        sizes=torch.randint(1, 500, (N, 2), generator=random_),
        votes=votes,
        scores=scores / scores.sum(1, keepdim=True).clamp_min(1),
        candidates=candidates,
        labels=torch.full((N,), -1),
        annotators=tuple(Annotator("m", "r", f"{a} {{}}") for a in range(A)),
        rule="union",
    ).with_labels(labels)


def same(one, other):
    plain = all(getattr(one, name) == getattr(other, name) for name in ("classes", "file_names", "sha256", "rule"))
    tensors = ("sizes", "votes", "scores", "candidates", "labels")
    return plain and one.annotators == other.annotators and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in tensors
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    made().save(tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def put(column, row, value, kind=None):
    """Write one value of a column anew; a list's place where the row is a pair."""

    def change(table):
        values = table[column].to_pylist()
        if isinstance(row, tuple):
            values[row[0]] = [*values[row[0]]]
            values[row[0]][row[1]] = value
        else:
            values[row] = value
        array = pa.array(values, kind or table[column].type)
        return table.set_column(table.column_names.index(column), column, array)

    return change


def told(**fields):
    def change(table):
        meta = json.loads(table.schema.metadata[b"zerolabel"]) | fields
        return table.replace_schema_metadata({b"zerolabel": json.dumps(meta)})

    return change


def raw(text):
    return lambda table: table.replace_schema_metadata({b"zerolabel": text})


def dropped(table):
    return table.replace_schema_metadata({**table.schema.metadata, b"zerolabel": b'{"schema": "1"}'})


LISTS, TEXTS = pa.list_(pa.float64()), pa.string()
DAMAGED = {
    "candidate -1": put("candidates", 3, [-1]),
    "candidate -5": put("candidates", 3, [0, -C]),
    "candidate of no class": put("candidates", 0, [C]),
    "candidate far off": put("candidates", 0, [2**31 - 1]),
    "candidate twice": put("candidates", 5, [1, 1]),
    "no candidates": put("candidates", 5, None),
    "candidate null": put("candidates", 5, [1, None]),
    "candidates as text": put("candidates", 5, ["a"], pa.list_(TEXTS)) and (
        lambda table: table.set_column(4, "candidates", pa.array([["a"]] * N, pa.list_(TEXTS)))
    ),
    "vote -2": put("votes", (2, 0), -2),
    "vote of no class": put("votes", (2, 1), C),
    "a vote too few": put("votes", 2, [0, 1]),
    "a vote too many in one row, too few in another": lambda t: put("votes", 1, [0])(put("votes", 0, [0] * 5)(t)),
    "votes null": put("votes", 7, None),
    "score nan": put("scores", (1, 1), float("nan")),
    "score inf": put("scores", (1, 1), float("inf")),
    "score -inf": put("scores", (1, 1), float("-inf")),
    "score negative": put("scores", (1, 1), -0.5),
    "score 7": put("scores", (1, 1), 7.0),
    "scores add up to 2": put("scores", 1, [0.5, 0.5, 0.5, 0.5, 0.0]),
    "a score too few": put("scores", 1, [0.5]),
    "score null": put("scores", (1, 2), None),
    "scores as whole numbers": lambda t: t.set_column(5, "scores", t["scores"].cast(LISTS).cast(pa.list_(pa.float64())))
    and t.set_column(5, "scores", pa.array([[0] * C] * N, pa.list_(pa.int32()))),
    "label of no class": put("label", 0, C),
    "label -2": put("label", 0, -2),
    "label as text": lambda t: t.set_column(7, "label", pa.array(["a"] * N)),
    "width negative": put("width", 0, -1),
    "height null": put("height", 4, None),
    "width a fraction": lambda t: t.set_column(2, "width", pa.array([1.5] * N)),
    "name twice": put("file_name", 1, "d/000.png"),
    "name empty": put("file_name", 1, ""),
    "name null": put("file_name", 1, None),
    "a category with a null": lambda t: t.set_column(
        0, "file_name", pa.array([None, *t["file_name"].to_pylist()[1:]]).dictionary_encode()
    ),
    "a category twice": lambda t: t.set_column(
        0, "file_name", pa.array(["d/000.png", "d/000.png", *t["file_name"].to_pylist()[2:]]).dictionary_encode()
    ),
    "votes of a fixed length of two": lambda t: t.set_column(
        6, "votes", pa.array([[0, 1]] * N, pa.list_(pa.int32(), 2))
    ),
    "names as numbers": lambda t: t.set_column(0, "file_name", pa.array(range(N))),
    "hash short": put("sha256", 1, "abc"),
    "hash no hexadecimal": put("sha256", 1, "z" * 64),
    "hash null": put("sha256", 1, None),
    "class twice": told(classes=["a", "b", "c", "d", "a"]),
    "class empty": told(classes=["a", "b", "c", "d", " "]),
    "class a number": told(classes=["a", "b", "c", "d", 5]),
    "class null": told(classes=["a", "b", "c", "d", None]),
    "class that no file holds": told(classes=["a", "b", "c", "d", "\ud800"]),
    "a class too few": told(classes=["a", "b", "c", "d"]),
    "a class too many": told(classes=list("abcdef")),
    "no class": told(classes=[]),
    "classes as text": told(classes="abcde"),
    "annotators as text": told(annotators="abc"),
    "an annotator too few": told(annotators=[{"model": "m", "revision": "", "template": "t"}] * 2),
    "annotator with more": told(annotators=[{"model": "m", "revision": "", "template": "t", "x": 1}] * 3),
    "annotator without model": told(annotators=[{"revision": "", "template": "t"}] * 3),
    "annotator's model a list": told(annotators=[{"model": [], "revision": "", "template": "t"}] * 3),
    "choice 0": told(annotators=[{"model": "m", "revision": "", "template": "t", "choice": 0}] * 3),
    "choice true": told(annotators=[{"model": "m", "revision": "", "template": "t", "choice": True}] * 3),
    "rule a number": told(rule=5),
    "schema a list": told(schema=["1"]),
    "sparse without ids": told(schema="2"),
    "metadata deep": raw("[" * 100_000),
    "metadata deep inside": raw('{"schema": "1", "classes": ' + "[" * 100_000),
    "metadata a list": raw("[1]"),
    "metadata a number": raw("1"),
    "metadata null": raw("null"),
    "metadata no text": raw(b"\xff\xfe\x00"),
    "metadata nothing": raw(""),
    "metadata nan": raw('{"schema": NaN}'),
    "metadata lacks entries": dropped,
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_refused_in_one_sentence(kind, path):
    pq.write_table(DAMAGED[kind](pq.read_table(path)), path)
    with pytest.raises(InputError) as caught:
        Annotations.load(path)
    assert "\n" not in str(caught.value) and "a.parquet" in str(caught.value)


FINE = {
    "another class": told(classes=list("abcde")),
    "a vote": put("votes", (2, 0), 4),
    "an abstention": put("votes", (2, 0), -1),
    "no label": put("label", 0, None),
    "a long list type": lambda t: t.set_column(4, "candidates", t["candidates"].cast(pa.large_list(pa.int64()))),
    "a long text type": lambda t: t.set_column(0, "file_name", t["file_name"].cast(pa.large_string())),
    "a category of names": lambda t: t.set_column(0, "file_name", t["file_name"].dictionary_encode()),
    "a category of hashes": lambda t: t.set_column(1, "sha256", t["sha256"].dictionary_encode()),
    "a category of widths": lambda t: t.set_column(2, "width", t["width"].dictionary_encode()),
    "a category of labels": lambda t: t.set_column(7, "label", t["label"].dictionary_encode()),
    "a view of text": lambda t: t.set_column(0, "file_name", t["file_name"].cast(pa.string_view())),
    "scores of a fixed length": lambda t: t.set_column(5, "scores", t["scores"].cast(pa.list_(pa.float32(), C))),
    "votes of a fixed length": lambda t: t.set_column(6, "votes", t["votes"].cast(pa.list_(pa.int32(), 3))),
    "a double": lambda t: t.set_column(5, "scores", t["scores"].cast(LISTS)),
    "some rows": lambda t: t.slice(3, 9),
}


@pytest.mark.parametrize("kind", FINE)
def test_what_another_tool_may_write_is_read(kind, path):
    before = Annotations.load(path)
    pq.write_table(FINE[kind](pq.read_table(path)), path)
    found = Annotations.load(path)
    assert len(found.classes) == C
    if kind.split()[0] in ("scores", "votes") or "category" in kind or "view" in kind:
        assert found.file_names == before.file_names and found.sha256 == before.sha256
        assert all(torch.equal(getattr(found, name), getattr(before, name)) for name in ("votes", "scores", "labels"))


def test_a_persons_label_stays_a_set_of_one(path):
    pq.write_table(put("candidates", 0, [0, 3])(pq.read_table(path)), path)
    assert Annotations.load(path).candidates[0].tolist() == [True, False, False, False, False]


def test_parts_of_different_annotations_are_not_joined(tmp_path):
    made().save(tmp_path / "0.parquet")
    pq.write_table(told(classes=list("abcde"))(pq.read_table(tmp_path / "0.parquet")), tmp_path / "1.parquet")
    with pytest.raises(InputError, match="parts are of different annotations"):
        Annotations.load(tmp_path)


@pytest.mark.parametrize("column", ["scores", "score_ids"])
def test_sparse_scores_are_checked_too(column, tmp_path):
    path = tmp_path / "a.parquet"
    made(SPARSE_FROM + 1).save(path)
    table = pq.read_table(path)
    assert len(Annotations.load(path)) == N
    for value in ([0.5], [float("nan")] * 9) if column == "scores" else ([-1], [SPARSE_FROM + 1] * 9):
        pq.write_table(put(column, 0, value)(table), path)
        with pytest.raises(InputError, match="damaged"):
            Annotations.load(path)


def flipped(data, chance):
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 3, 20))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(data, chance):
    start, stop = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return chance.choice((data[:stop], data[:start] + data[stop:], data[:start] + data[start:stop] * 2 + data[stop:]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_thousand_damaged_files(tmp_path):
    """Nothing but a refusal in one sentence, or the very annotations that were written."""
    chance, accepted, ways = random.Random(7), 0, list(DAMAGED.values())
    whole, path = made(), tmp_path / "a.parquet"
    whole.save(path)
    written, table = path.read_bytes(), pq.read_table(path)
    for i in range(1000):
        if i % 4 == 3:
            pq.write_table(chance.choice(ways)(table), path)
            data = path.read_bytes()
            path.write_bytes(data if chance.random() < 0.7 else flipped(data, chance))
        else:
            path.write_bytes(flipped(written, chance) if i % 4 else cut(written, chance))
        try:
            found = Annotations.load(path)
        except InputError as error:
            assert "\n" not in str(error), i
        else:
            accepted += 1
            assert same(found, whole), i
    assert np.isfinite(accepted) and accepted < 400
