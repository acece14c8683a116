import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from zerolabel.annotations import Annotations, Annotator
from zerolabel.errors import InputError


@pytest.fixture
def annotations():
    n, c, a = 5, 3, 2
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(n, c, generator=generator)
    return Annotations(
        classes=("café", "b", "c"),
        file_names=tuple(f"d/{i} ü.png" for i in range(n)),
        sha256=tuple(f"{i:064x}" for i in range(n)),
        sizes=torch.arange(2 * n).reshape(n, 2),
        votes=torch.randint(-1, c, (n, a), generator=generator),
        scores=scores / scores.sum(1, keepdim=True),
        candidates=torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 0]]).bool(),
        labels=torch.tensor([-1, -1, -1, 1, -1]),
        annotators=(Annotator("m", "r", "a {}"), Annotator("m", "r", "the {}")),
        rule="union",
    )


def same(one, other):
    fields = ("classes", "file_names", "sha256", "annotators", "rule")
    tensors = ("sizes", "votes", "scores", "candidates", "labels")
    assert all(getattr(one, name) == getattr(other, name) for name in fields)
    for name in tensors:
        assert torch.equal(getattr(one, name), getattr(other, name)), name
        assert getattr(one, name).dtype == getattr(other, name).dtype, name


def test_saved_and_loaded_is_the_same(annotations, tmp_path):
    annotations.save(tmp_path / "new" / "a.parquet")
    same(Annotations.load(tmp_path / "new" / "a.parquet"), annotations)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.parquet"]
    none = annotations.select(torch.tensor([], dtype=torch.long))
    none.save(tmp_path / "none.parquet")
    same(Annotations.load(tmp_path / "none.parquet"), none)


def test_others_can_read_the_table(annotations, tmp_path):
    annotations.save(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert table[0]["candidates"] == [0, 2]
    assert table[1]["candidates"] == []
    assert [row["label"] for row in table] == [None, None, None, 1, None]
    assert table[2]["scores"] == pytest.approx(annotations.scores[2].tolist())


def test_select_keeps_the_given_order(annotations):
    some = annotations.select(torch.tensor([3, 0]))
    assert some.file_names == ("d/3 ü.png", "d/0 ü.png")
    assert torch.equal(some.scores, annotations.scores[[3, 0]])
    assert len(some) == 2


def test_a_human_label_is_a_set_of_one_that_no_rule_overrules(annotations):
    everything = torch.ones(5, 3, dtype=torch.bool)
    assert annotations.with_candidates(everything, "soft").candidates.sum(1).tolist() == [3, 3, 3, 1, 3]
    labeled = annotations.with_labels(torch.tensor([2, -1, 0, -1, -1]))
    assert labeled.human.tolist() == [True, False, True, False, False]
    assert labeled.candidates[0].tolist() == [False, False, True]
    assert labeled.candidates[2].tolist() == [True, False, False]
    assert not labeled.candidates[1].any()


def test_damage_is_one_sentence(annotations, tmp_path):
    path = tmp_path / "a.parquet"

    def refused(message):
        with pytest.raises(InputError, match=message) as caught:
            Annotations.load(path)
        assert "\n" not in str(caught.value)

    refused("there is no annotations file")
    annotations.save(path)
    whole, table = path.read_bytes(), pq.read_table(path)
    meta = json.loads(table.schema.metadata[b"zerolabel"])

    def rewrite(changed, **fields):
        pq.write_table(changed.replace_schema_metadata({b"zerolabel": json.dumps({**meta, **fields})}), path)

    for cut in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused("damaged")
    pq.write_table(pa.table({"x": [1]}), path)
    refused("not written by zerolabel")
    rewrite(table, schema="0")
    refused("schema 0")
    rewrite(table.drop_columns("votes"))
    refused("lacks the column votes")
    rewrite(table, classes=["a"])
    refused("damaged")
    rewrite(table, annotators=[{"model": "m"}])
    refused("damaged")


def test_a_folder_that_cannot_be_written(annotations, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        annotations.save(tmp_path / "file" / "a.parquet")
