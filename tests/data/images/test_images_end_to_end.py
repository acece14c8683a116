"""The whole job on images that are no files of their own."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from zerolabel.annotations import Annotations
from zerolabel.cli import main
from zerolabel.data.images import ImageSet, pixels, resize
from zerolabel.errors import InputError
from zerolabel.files import write_text
from zerolabel.report.run import Run
from zerolabel.report.thumbnails import thumbnail

DIGITS = "0,1,2,3,4,5,6,7,8,9"


@pytest.fixture(scope="module")
def digits():
    """Name and content of 60 real digits, and a damaged file."""
    found = {}
    for i, picture in enumerate(load_digits().images[:60]):
        buffer = io.BytesIO()
        Image.fromarray((picture * 15.9).astype(np.uint8)).save(buffer, "PNG")
        found[f"{i:02}.png"] = buffer.getvalue()
    return found | {"99.png": b"damaged"}


@pytest.fixture
def shards(digits, tmp_path):
    names = list(digits)
    for number in range(3):
        with tarfile.open(tmp_path / f"s-{number}.tar", "w") as file:
            for name in names[number::3]:
                info = tarfile.TarInfo(name)
                info.size = len(digits[name])
                file.addfile(info, io.BytesIO(digits[name]))
    return f"{tmp_path}/s-{{0..2}}.tar"


@pytest.mark.slow
def test_a_run_on_tars_from_annotation_to_report(shards, digits, tmp_path):
    truth = [(f"s-{i % 3}.tar/{i:02}.png", load_digits().target[i]) for i in range(60)]
    pd.DataFrame(truth, columns=["file_name", "label"]).to_csv(tmp_path / "truth.csv", index=False)
    run = tmp_path / "run"
    options = ["--method", "cross_entropy", "--epochs", "1", "--cache", str(tmp_path / "cache")]
    given = ["--vlm", "glyphs", "--student", "light", "--truth", str(tmp_path / "truth.csv")]
    main(["run", shards, "-c", DIGITS, "-o", str(run), *given, *options])
    annotations = Annotations.load(run / "annotations.parquet")
    assert annotations.file_names == tuple(f"s-{n}.tar/{i:02}.png" for n in range(3) for i in range(n, 60, 3))
    assert (run / "skipped.csv").read_text().splitlines()[1:] == ["s-0.tar/99.png,not an image that Pillow can read"]
    report = (run / "report.html").read_text()
    assert "data:image/png;base64" in report and "thumb missing" not in report.partition("<body")[2]
    given = [str(run / "annotations.parquet"), "--student", "linear", "-o", str(tmp_path / "again")]
    main(["train", shards, *given, *options])
    assert (tmp_path / "again" / "classifier.onnx").is_file()


def test_training_and_report_read_images_inside_tars(shards, digits, tmp_path):
    images = ImageSet.open(shards)
    chosen = images.named([name for name in images.file_names if "99" not in name])
    squares = pixels(chosen, 8, tmp_path / "pixels.npy")
    assert np.array_equal(squares[25], resize(chosen.read(25), 8)) and len(squares) == 60
    with pytest.raises(InputError, match=r"s-0.tar/99.png cannot be read"):
        pixels(images, 8, tmp_path / "other.npy")
    write_text(tmp_path / "config.json", json.dumps({"images": shards}))
    run = Run.load(tmp_path)
    assert run.image("s-1.tar/04.png", "train") == digits["04.png"]
    assert run.image("s-1.tar/none.png", "train") is None
    assert "data:image/png" in str(thumbnail(run.image("s-2.tar/05.png", "train"), "five"))


def test_a_url_a_tar_and_a_folder_give_the_same_annotations(shards, digits, tmp_path):
    system = fsspec.filesystem("memory")
    (tmp_path / "folder").mkdir()
    for name, content in digits.items():
        system.pipe(f"/digits/{name}", content)
        (tmp_path / "folder" / name).write_bytes(content)
    found = {}
    for kind, source in {"url": "memory://digits", "tar": shards, "folder": str(tmp_path / "folder")}.items():
        out = tmp_path / f"out-{kind}"
        main(["annotate", source, "-c", DIGITS, "-o", str(out), "--vlm", "glyphs", "--cache", str(tmp_path / "none")])
        annotations = Annotations.load(out / "annotations.parquet")
        found[kind] = dict(zip(annotations.sha256, annotations.votes.tolist(), strict=True))
        assert len((out / "skipped.csv").read_text().splitlines()) == 2
    assert found["url"] == found["tar"] == found["folder"] and len(found["url"]) == 60
    system.rm("/digits", recursive=True)
