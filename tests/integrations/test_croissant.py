"""Croissant metadata: every column of the file is a field, and a file that is not the described one is refused."""

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from zerolabel.errors import InputError
from zerolabel.integrations.convert import export_labels, import_labels
from zerolabel.integrations.joining import silent


@pytest.fixture
def exported(annotated, tmp_path):
    export_labels(annotated, "croissant", tmp_path / "set")
    return tmp_path / "set"


def test_the_metadata_describes_the_file(exported, annotated):
    data = json.loads((exported / "croissant.json").read_text(encoding="utf-8"))
    assert data["@type"] == "sc:Dataset" and data["conformsTo"].startswith("http://mlcommons.org/croissant/")
    (entry,) = data["distribution"]
    assert entry["sha256"] == hashlib.sha256((exported / entry["contentUrl"]).read_bytes()).hexdigest()
    images, classes = data["recordSet"]
    columns = [one["source"]["extract"]["column"] for one in images["field"]]
    assert columns == pq.read_schema(exported / entry["contentUrl"]).names
    ids = {one["@id"] for one in (*images["field"], *classes["field"])}
    assert images["key"]["@id"] in ids and classes["key"]["@id"] in ids
    assert [one["classes/name"] for one in classes["data"]] == list(annotated.classes)
    used = {key for key in str(data).replace("'", " ").split() if key.startswith("cr:")}
    assert {"cr:FileObject", "cr:RecordSet", "cr:Field"} <= used and data["@context"]["cr"].endswith("/croissant/")


def write(folder, **changes):
    path = folder / "croissant.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["distribution"][0] |= changes
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "croissant.json").unlink(), "has no croissant.json"),
        (lambda f: (f / "croissant.json").write_text("["), "does not describe one parquet file"),
        (lambda f: (f / "croissant.json").write_text('{"distribution": 3}'), "does not describe one parquet file"),
        (lambda f: write(f, contentUrl="../data.parquet"), "is not a file beside it"),
        (lambda f: write(f, contentUrl="https://example.org/data.parquet"), "is not a file beside it"),
        (lambda f: write(f, contentUrl="other.parquet"), "is not a file beside it"),
        (lambda f: write(f, sha256="0" * 64), "is not the file that croissant.json describes"),
        (lambda f: write(f, encodingFormat="text/csv"), "does not describe one parquet file"),
        (lambda f: (f / "data.parquet").write_bytes(b"PAR1"), "is not the file that croissant.json describes"),
    ],
)
def test_what_does_not_fit_is_refused(exported, annotated, damage, message):
    damage(exported)
    with pytest.raises(InputError, match=message):
        import_labels(silent(annotated), "croissant", exported)
