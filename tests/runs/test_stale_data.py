"""What belongs to other data is told apart from what does not: digests, annotations of other pictures, locks, notes."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from kill_and_change import COMMANDS, annotated_data, here, picture

from zerolabel.annotations import Annotations
from zerolabel.annotations.digest import content_hash, differing, of_annotations, of_data, of_images, of_texts
from zerolabel.annotations.image_check import changed, unchanged
from zerolabel.data.images import ImageSet
from zerolabel.data.views import Features
from zerolabel.errors import InputError
from zerolabel.files import LOCK, alone
from zerolabel.learners import LEARNERS
from zerolabel.networks import build
from zerolabel.training.loop import train
from zerolabel.training.settings import Settings

ALTERED = {
    "file names": lambda a: replace(a, file_names=(*a.file_names[1:], "other.png")),
    "images": lambda a: replace(a, sha256=(a.sha256[1], a.sha256[0], *a.sha256[2:])),
    "classes": lambda a: replace(a, classes=tuple(reversed(a.classes))),
    "annotators": lambda a: replace(a, annotators=(replace(a.annotators[0], revision="x"), *a.annotators[1:])),
    "candidate rule": lambda a: replace(a, rule="topk:2"),
    "votes": lambda a: replace(a, votes=a.votes.roll(1, 0)),
    "scores": lambda a: replace(a, scores=a.scores + 1e-7),
    "candidates": lambda a: replace(a, candidates=~a.candidates),
    "human labels": lambda a: replace(a, labels=a.labels.clone().fill_(1)),
}


@pytest.mark.parametrize("name", ALTERED)
def test_a_digest_tells_what_differs(name, world):
    before = of_annotations(world.annotations)
    assert of_annotations(replace(world.annotations)) == before
    assert differing(before, of_annotations(ALTERED[name](world.annotations))) == [name]


@pytest.mark.parametrize("name", [*ALTERED, None])
def test_a_checkpoint_of_other_data_is_not_taken_up(name, world, tmp_path):
    settings = Settings(epochs=2, batch_size=64, device="cpu", precision="float32")
    file, source = tmp_path / "state", Features(world.features)

    def learner() -> torch.nn.Module:
        torch.manual_seed(0)
        return LEARNERS["cross_entropy"](build("linear", 4, world.features.shape[1]), world.annotations)

    before = of_annotations(world.annotations)
    assert len(list(train(learner(), source, settings, file, before))) == 2
    if name is None:
        assert list(train(learner(), source, settings, file, before)) == []
        return
    with pytest.warns(UserWarning, match=f"starts again: since its checkpoint, the {name} changed"):
        logs = list(train(learner(), source, settings, file, of_annotations(ALTERED[name](world.annotations))))
    assert [log.epoch for log in logs] == [0, 1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return annotated_data(tmp_path_factory.mktemp("stale") / "data")


def rewrite(place, swaps):
    contents = {a: (place / "pics" / f"{b:03}.png").read_bytes() for a, b in swaps.items()}
    for a, content in contents.items():
        (place / "pics" / f"{a:03}.png").write_bytes(content)


@pytest.mark.parametrize(
    ("swaps", "count"),
    [({}, 0), ({20: 21}, 1), ({20: 21, 21: 20}, 2), ({i: (i + 7) % 20 for i in range(20)}, 20), ({39: 0}, 1),
     ({i: i + 20 for i in range(20)}, 20)],
)  # fmt: skip
def test_annotations_of_other_pictures(data, tmp_path, swaps, count):
    place = shutil.copytree(data, tmp_path / "data")
    rewrite(place, swaps)
    said, images = Annotations.load(place / "said" / "annotations.parquet"), ImageSet.open(place / "pics")
    assert changed(said, images) == sorted(swaps)
    if not count:
        assert unchanged(said, images, "said", allow_changed=False) is said
        return
    with pytest.raises(InputError, match=f"^{count} of 40 images in .* are not those .*--allow-changed"):
        unchanged(said, images, "said", allow_changed=False)
    assert len(unchanged(said, images, "said", allow_changed=True)) == 40 - count
    (place / "pics" / "000.png").write_bytes(b"torn")
    assert 0 in changed(said, images)


@pytest.mark.parametrize("kind", ["train", "compare"])
def test_commands_refuse_annotations_of_other_pictures(kind, data, tmp_path):
    place = shutil.copytree(data, tmp_path / "data")
    rewrite(place, {20: 21, 21: 20})
    code, told = here(place, *COMMANDS[kind].said, "-o", "out")
    assert (code, "2 of 40 images in pics are not those" in told) == (2, True)
    assert not (place / "out" / "predictions.parquet").exists()


def test_the_unchanged_images_alone_can_be_gone_on_with(data, tmp_path):
    place = shutil.copytree(data, tmp_path / "data")
    rewrite(place, {20: 21, 21: 20})
    code, told = here(place, *COMMANDS["train"].said, "-o", "out", "--allow-changed")
    assert code == 0, told
    kept = Annotations.load(place / "out" / "annotations.parquet")
    assert len(kept) == 38 and not {"020.png", "021.png"} & set(kept.file_names)


CHANGES = {
    "1 new, 0 gone, 0 with other content": lambda pics: picture(50).save(pics / "new.png"),
    "0 new, 1 gone, 0 with other content": lambda pics: (pics / "030.png").unlink(),
    "1 new, 1 gone, 0 with other content": lambda pics: (pics / "030.png").rename(pics / "x.png"),
    "0 new, 0 gone, 1 with other content": lambda pics: picture(50).save(pics / "030.png"),
    "the --few-shot labels": lambda pics: (pics.parent / "few.csv").write_text("file_name,label\n000.png,one\n"),
}


@pytest.mark.parametrize("told_of", CHANGES)
def test_a_resume_on_other_data_is_refused_before_anything_is_replaced(told_of, data, tmp_path):
    place = shutil.copytree(data, tmp_path / "data")
    CHANGES[told_of](place / "pics")
    before = {path: path.read_bytes() for path in (place / "said").iterdir()}
    code, told = here(place, *COMMANDS["annotate"].said, "-o", "said", "--resume")
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert (code, len(errors), told_of in told, "give --overwrite" in told) == (2, 1, True, True)
    assert {path: path.read_bytes() for path in (place / "said").iterdir()} == before


@pytest.mark.parametrize("bad", [["--few-shot", "bad.csv"], ["--vlm", "open_clip:nowhere"]])
def test_what_is_refused_replaces_nothing(bad, data, tmp_path):
    place = shutil.copytree(data, tmp_path / "data")
    (place / "bad.csv").write_text("file_name,label\nnone.png,one\n")
    before = {path: path.read_bytes() for path in (place / "said").iterdir()}
    assert here(place, *COMMANDS["annotate"].said, *bad, "-o", "said", "--overwrite")[0] == 2
    assert {path: path.read_bytes() for path in (place / "said").iterdir()} == before


def test_a_finished_run_stays_where_annotations_of_other_pictures_would_overwrite_it(data, tmp_path):
    place = shutil.copytree(data, tmp_path / "data")
    shutil.copytree(place / "said", place / "out")
    rewrite(place, {20: 21, 21: 20})
    before = {path: path.read_bytes() for path in (place / "out").iterdir()}
    code, told = here(place, *COMMANDS["train"].said, "-o", "out", "--overwrite")
    assert (code, "2 of 40 images in pics are not those" in told) == (2, True)
    assert {path: path.read_bytes() for path in (place / "out").iterdir()} == before


HOLDS = """
import sys, time
from pathlib import Path
from zerolabel.files import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_a_folder_is_held_by_one_process_and_let_go_where_it_dies(ending, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="another command is running in"), alone(tmp_path):
        pass
    other.send_signal(ending)
    other.wait()
    (tmp_path / ".metrics.json.4194999.partial").write_text("half")
    (tmp_path / ".mine.partial").write_text("x")
    with alone(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [".mine.partial", LOCK]
    assert os.listdir(tmp_path) == [".mine.partial"]


@pytest.mark.parametrize("kind", ["run", "train", "annotate", "compare", "adapt"])
def test_two_commands_in_one_folder(kind, data, tmp_path):
    place = shutil.copytree(data, tmp_path / "data")
    (place / "out").mkdir()
    with alone(place / "out"):
        code, told = here(place, *COMMANDS[kind].said, "-o", "out")
    assert (code, told.count("another command is running in out")) == (2, 1)
    assert os.listdir(place / "out") == []


def test_hashes_of_images_see_names_order_and_content(data, tmp_path):
    images = ImageSet.open(data / "pics")
    whole = of_images(images)
    assert differing(whole, of_images(images.select([1, 0, *range(2, 40)]))) == ["file names", "images"]
    assert of_images(images, [("000.png", "x")])["images"] != whole["images"]
    known = [(name, content_hash(images, i)) for i, name in enumerate(images.file_names)]
    assert (
        of_images(images, known) == of_images(images, known[7:] + known[:7]) == of_images(images, known[1::2]) == whole
    )


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 9000])
def test_the_hash_of_many_texts_is_that_of_their_list(count):
    texts = [f'{i} "größe" \n' for i in range(count)]
    assert of_texts(iter(texts)) == of_data(texts)
