"""Files of other tools that are damaged, or lie: a sentence, and never a class that nobody named."""

import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zerolabel.annotations import Annotations
from zerolabel.errors import InputError
from zerolabel.integrations.convert import export_labels, import_labels
from zerolabel.integrations.joining import silent

DEEP = "[" * 100_000


def head(shape, more=b""):
    """A .npy file that claims a shape."""
    told = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(told).to_bytes(2, "little") + told + more


@pytest.mark.parametrize("kind", ["pred-probs", "snorkel"])
@pytest.mark.parametrize(
    "data",
    [
        *(head((10**9, 10**6)), head((120, 10), bytes(64)), head("(" * 5000), head((-1, 10)), head((2**70, 2**70))),
        *(b"", b"\x93NUMPY"),
    ],
    ids=["huge", "cut", "deep", "negative", "overflow", "empty", "head alone"],
)
def test_matrices_that_lie_about_their_size(kind, data, annotated, tmp_path):
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(InputError, match="give a matrix of numbers"):
        import_labels(annotated, kind, tmp_path / "a.npy")


def test_an_archive_called_a_matrix(annotated, tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((len(annotated), 10)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(InputError, match="is not a matrix of numbers"):
        import_labels(annotated, "pred-probs", tmp_path / "a.npy")


@pytest.mark.parametrize(
    "text", [DEEP, "3", "[1]", '["a"]', "{}"], ids=["deep", "number", "numbers", "short", "object"]
)
def test_names_of_columns_that_are_none(text, annotated, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((len(annotated), 2), int))
    (tmp_path / "a.npy.annotators.json").write_text(text)
    with pytest.raises(InputError, match="to number the columns"):
        import_labels(annotated, "snorkel", tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "\udcff", "x\ud83d", "\0"])
def test_annotators_of_any_name_can_be_read_again(name, annotated, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((len(annotated), 1), int))
    (tmp_path / "a.npy.annotators.json").write_text(json.dumps([name]))
    import_labels(annotated, "snorkel", tmp_path / "a.npy").save(tmp_path / "out.parquet")
    assert len(Annotations.load(tmp_path / "out.parquet").annotators) == len(annotated.annotators) + 1


@pytest.mark.parametrize("word", ["", "-1", "NaN", "null", "None"])
def test_what_says_nothing_is_an_abstention_of_a_worker(word, annotated, tmp_path):
    names = annotated.file_names
    (tmp_path / "a.csv").write_text(f"task,worker,label\n{names[0]},w,two\n{names[1]},w,{word}\n")
    votes = import_labels(annotated, "crowd-kit", tmp_path / "a.csv").votes[:2, -1]
    assert votes.tolist() == [2, -1]


@pytest.mark.parametrize("rows", ["", "a.png,1\na.png,2\n"], ids=["no column of votes", "an image twice"])
def test_tables_of_votes_that_cannot_be_meant(rows, annotated, tmp_path):
    name = annotated.file_names[0]
    text = f"file_name,w\n{rows.replace('a.png', name)}" if rows else f"file_name\n{name}\n"
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=r"has no column of votes|has two rows of"):
        import_labels(annotated, "cleanlab", tmp_path / "a.csv")


def test_the_folder_of_a_parquet_file_gives_it_no_columns(annotated, tmp_path):
    folder = tmp_path / "label=nine" / "split=train"
    folder.mkdir(parents=True)
    pd.DataFrame({"file_name": annotated.file_names[:3], "w": [1, 2, 3]}).to_parquet(folder / "a.parquet")
    found = import_labels(annotated, "cleanlab", folder / "a.parquet")
    assert [one.template for one in found.annotators[len(annotated.annotators) :]] == ["w"]


WRONG_COLUMNS = {
    "candidate -1": ("candidates", [[-1]]),
    "candidate 99": ("candidates", [[99]]),
    "vote -2": ("votes", [[-2] * 8]),
    "vote 1.5": ("votes", [[1.5] * 8]),
    "too few votes": ("votes", [[1]]),
    "no votes": ("votes", [None]),
    "score NaN": ("scores", [[float("nan")] * 10]),
    "score 2": ("scores", [[2.0] * 10]),
    "scores above 1": ("scores", [[0.9] * 10]),
    "label 99": ("label", [99]),
    "label of text": ("label", ["one"]),
    "the same image": ("file_name", ["part 0/é0.00.png"]),
}


@pytest.mark.parametrize("wrong", WRONG_COLUMNS)
def test_columns_of_a_data_set_that_lie(wrong, annotated, tmp_path):
    export_labels(annotated, "hugging-face", tmp_path / "a.parquet")
    name, values = WRONG_COLUMNS[wrong]
    table = pq.read_table(tmp_path / "a.parquet")
    table = table.set_column(table.column_names.index(name), name, pa.array(values * len(table)))
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError):
        import_labels(silent(annotated), "hugging-face", tmp_path / "a.parquet")


FEATURES = json.dumps({"info": {"features": {name: {"names": [1, 2]} for name in ("candidates", "votes", "label")}}})


@pytest.mark.parametrize(
    ("key", "told"),
    [
        *(("zerolabel-votes", told) for told in (DEEP, "[]", '{"annotators": 3}')),
        *(("huggingface", told) for told in ("{}", FEATURES)),
    ],
    ids=["deep", "list", "number", "nothing", "names of numbers"],
)
def test_metadata_of_a_data_set_that_lies(key, told, annotated, tmp_path):
    export_labels(annotated, "hugging-face", tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    table = table.replace_schema_metadata({**table.schema.metadata, key.encode(): told.encode()})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="is not a data set with candidates"):
        import_labels(annotated, "hugging-face", tmp_path / "a.parquet")


@pytest.mark.parametrize("label", [-1, 2, True, 10**30])
def test_an_id_of_fiftyone_that_is_no_class(label, annotated, tmp_path):
    name = os.path.splitext(annotated.file_names[0])[0]
    content = {"classes": ["nine", "one"], "labels": {name: label}}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="which is none of its 2"):
        import_labels(annotated, "fiftyone", tmp_path / "labels.json")
