"""What must never be written or kept: secrets of URLs, numbers that JSON does not have, broken features, leftovers."""

import json
import os
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from zerolabel.annotate.feature_cache import FeatureCache
from zerolabel.annotations import candidates
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet, Unreadable
from zerolabel.errors import InputError
from zerolabel.errors.redaction import redacted, secrets, unique_redacted, without
from zerolabel.files.leftovers import partial_before, partial_of, sweep
from zerolabel.files.plain_json import dumps
from zerolabel.runs.config import AnnotatingModel, AnnotationConfig, Config, DataConfig, TrainingConfig
from zerolabel.runs.planning.checks import check_open_set

URLS = {
    "http://user:hunter2@host/v1": "http://***@host/v1",
    "https://hf_abcdef@host/x.csv": "https://***@host/x.csv",
    "https://host/v1?api_key=hunter2&version=3": "https://host/v1?api_key=***&version=3",
    "https://host/a.jpg?X-Amz-Credential=hunter2&X-Amz-Signature=abc": "https://host/a.jpg?X-Amz-Credential=***"
    "&X-Amz-Signature=***",
    "https://b.blob.example/a?sv=1&sig=hunter2": "https://b.blob.example/a?sv=1&sig=***",
    "s3://key:hunter2@bucket/a": "s3://***@bucket/a",
    "simplecache::https://u:hunter2@host/a": "simplecache::https://***@host/a",
    "https://host/#access_token=hunter2": "https://host/#access_token=***",
    "https://u:p@ss@host/": "https://***@host/",
    "http:/user:hunter2@host/truth.csv": "http:/***@host/truth.csv",
    "s3:/key:hunter2@bucket/a.parquet": "s3:/***@bucket/a.parquet",
    "https:/host/a?token=hunter2": "https:/host/a?token=***",
}


@pytest.mark.parametrize("url", URLS)
def test_secrets_of_urls_are_hidden_in_every_message(url):
    assert redacted(url) == URLS[url]
    assert str(InputError(f"{url} is away; mend it.")) == f"{URLS[url]} is away; mend it."
    assert str(Unreadable(f"cannot fetch {url}")) == f"cannot fetch {URLS[url]}"
    assert all(secret not in without(f"echo {' '.join(secrets(url))}", secrets(url)) for secret in secrets(url))


@pytest.mark.parametrize(
    "text",
    ["a photo of a {}", "me@example.org", "http://host/v1?keyword=cat", "C:\\a@b", "C:/a@b/c", "x:/y", "s3://b/a"],
)
def test_other_text_stays(text):
    assert redacted(text) == text


def config(chat=None, command=(), **places):
    data = DataConfig(**{"images": "x", "classes": ("a", "b"), "aliases": ((), ()), **places})
    annotation = AnnotationConfig((AnnotatingModel("glyphs", ("{}",)),), "union", chat=chat or {})
    return Config(data, annotation, TrainingConfig("coreg", {}, {}, "light", 8), command=list(command))


@pytest.mark.parametrize(
    "places",
    [
        {"images": "https://u:hunter2@host/list.csv"},
        {"test_images": "https://host/list.csv?token=hunter2"},
        {"truth": "s3://k:hunter2@bucket/t.csv"},
        {"chat": {"endpoint": "http://u:hunter2@host/v1"}},
        {"command": ["run", "https://host/x?sig=hunter2"]},
        {"few_shot": "https://hunter2@host/x.csv"},
    ],
)
def test_a_configuration_on_disk_holds_no_secret_and_is_the_same_run(places):
    made = config(**places)
    assert "hunter2" not in made.to_json() and "hunter2" in str(made)
    assert made.differences(Config.from_json(made.to_json())) == []


def test_a_list_of_addresses_is_named_without_their_secrets(tmp_path):
    urls = [
        "https://h.example/a.png?id=1&sig=one",
        "https://h.example/a.png?id=1&sig=two",
        "https://u:p1@h.example/b.png",
    ]
    (tmp_path / "list.txt").write_text("\n".join(urls))
    images = ImageSet.open(tmp_path / "list.txt")
    assert images.file_names == unique_redacted(urls) and len(set(images.file_names)) == 3
    assert images.store.places == tuple(urls) and not any("one" in name or "p1" in name for name in images.file_names)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [float("-inf")], {"a": (1.0, float("nan"))}, [{"b": [float("nan")]}]]
)
def test_what_is_no_number_is_null(value):
    text = dumps({"x": value, "y": 1.5})
    assert "null" in text and json.loads(text, parse_constant=lambda name: pytest.fail(name))["y"] == 1.5


READS = AnnotationConfig((AnnotatingModel("glyphs", ("{}",)),), "union", encoder="glyphs")
UNKNOWNS = {
    "capital": Classes(("cat", "Unknown")),
    "capitals": Classes(("UNKNOWN", "dog")),
    "spaces": Classes(("cat", "  unknown ")),
    "hyphens": Classes(("cat", "_unknown-")),
    "an alias": Classes(("cat", "other"), ((), ("strange", "UnKnown"))),
    "an alias of the first": Classes(("none", "cat"), (("unknown",), ())),
}
FINE = (("cat", "unknowns"), ("known", "un known"), ("cat", "unknown animal"), ("cat", "none"), ("unk", "own"))


@pytest.mark.parametrize("kind", UNKNOWNS)
def test_a_class_may_not_be_called_as_images_of_no_class_are(kind):
    with pytest.raises(InputError, match=r"the name '.*' is for out-of-distribution images; rename that class"):
        check_open_set(UNKNOWNS[kind], READS)


@pytest.mark.parametrize("names", FINE)
def test_names_that_are_only_like_it_are_classes(names):
    check_open_set(Classes(names), READS)


def votes(make_annotations, rows, n_classes=4, labels=None):
    return make_annotations(torch.tensor(rows), n_classes, labels)


@pytest.mark.parametrize("rule", ["union", "votes:2", "topk:3", "ratio:0.5", "mass:0.9", "soft", "quantile:0.5,0.5"])
def test_nothing_understood_is_refused_whatever_the_rule(rule, make_annotations):
    silent = votes(make_annotations, [[-1, -1]] * 30)
    silent = silent.with_candidates(candidates.parse_rule(rule)(silent), rule)
    with pytest.raises(InputError, match="none of the 30 images has a candidate class"):
        candidates.check_enough(silent)


@pytest.mark.parametrize(
    ("spoken", "n", "labeled", "enough"),
    [
        (3, 30, 0, False),  # fewer than the four classes
        (4, 30, 0, True),
        (4, 1000, 0, False),  # less than 1%
        (10, 1000, 0, True),
        (4, 1000, 4, True),  # a person labeled as many as there are classes
        (2, 3, 0, True),  # most of few images
        (1, 1, 0, True),
    ],
)
def test_how_many_images_with_candidates_are_enough(spoken, n, labeled, enough, make_annotations):
    labels = torch.full((n,), -1)
    labels[:labeled] = torch.arange(labeled) % 4
    made = votes(make_annotations, [[i % 4] for i in range(spoken)] + [[-1]] * (n - spoken), 4, labels)
    if enough:
        candidates.check_enough(made)
        return
    with pytest.raises(InputError, match=f"only {spoken} of {n} images have"):
        candidates.check_enough(made)


def rows(n):
    return [(f"{i:064x}", (8, 8), torch.nn.functional.normalize(torch.randn(6), dim=0)) for i in range(n)]


def shard(folder):
    (path,) = folder.glob("*.safetensors")
    return path


def flip(place):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[place] ^= 4
        path.write_bytes(bytes(data))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        *(flip(place) for place in (-1, -40, -200, -300, -500)),
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(b""),
        lambda path: save_file(load_file(path), path),  # no checksum
    ],
)
def test_a_damaged_shard_counts_as_absent(damage, tmp_path):
    given = rows(9)
    store = FeatureCache(tmp_path, 6)
    store.add(given)
    store.flush()
    damage(shard(tmp_path))
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        again = FeatureCache(tmp_path, 6)
        known = [digest in again for digest, *_ in given]
    assert not any(known) and len(notes) <= 1
    again.add(given)
    again.flush()
    assert torch.equal(FeatureCache(tmp_path, 6).rows([given[3][0]])[0][0], given[3][2])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", [0, 5])
def test_features_that_are_not_finite_are_not_kept(value, place, tmp_path):
    given = rows(4)
    given[2][2][place] = value
    store = FeatureCache(tmp_path, 6)
    store.add(given)
    store.flush()
    assert [digest in FeatureCache(tmp_path, 6) for digest, *_ in given] == [True, True, False, True]


@pytest.mark.parametrize("make", ["file", "below a file"])
def test_a_cache_that_cannot_be_written_is_a_note(make, tmp_path):
    (tmp_path / "file").write_text("x")
    folder = tmp_path / "file" if make == "file" else tmp_path / "file" / "deep"
    with pytest.warns(UserWarning, match="give a --cache that can be written"):
        store = FeatureCache(folder, 6)
    given = rows(3)
    store.add(given)
    store.flush()
    assert torch.equal(store.rows([given[1][0]])[0][0], given[1][2])
    with warnings.catch_warnings():  # a command that opens it twice finds what it wrote, and tells it once
        warnings.simplefilter("error")
        assert torch.equal(FeatureCache(folder, 6).rows([given[2][0]])[0][0], given[2][2])


def test_answers_that_cannot_be_kept_are_a_note(tmp_path):
    pytest.importorskip("httpx")
    from zerolabel.vlms.chat.protocol import Reply
    from zerolabel.vlms.chat.reply_cache import AnswerStore

    (tmp_path / "file").write_text("x")
    with pytest.warns(UserWarning, match="give a --cache that can be written"):
        store = AnswerStore(tmp_path / "file" / "answers.sqlite")
    store.add("a", Reply("cat"))
    assert store.get("a") == Reply("cat")


def dead():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.mark.parametrize("name", [".a.parquet.{}.partial", ".{}.partial", ".x.y.{}@{machine}.partial"])
def test_what_a_killed_process_left_is_removed(name, tmp_path):
    machine = partial_of(tmp_path / "x").name.rpartition("@")[2].removesuffix(".partial")
    left, own = (tmp_path / "deep" / name.format(pid, machine=machine) for pid in (dead(), os.getpid()))
    left.parent.mkdir()
    for path in (left, own):
        path.write_text("half")
    sweep(tmp_path, deep=True)
    assert not left.exists() and own.exists()
    os.utime(own, (1, 1))
    sweep(tmp_path, deep=True)
    assert not own.exists()


@pytest.mark.parametrize("make", [partial_of, partial_before])
def test_a_file_that_is_written_again_removes_its_own_leftovers(make, tmp_path):
    path = tmp_path / "a [1].parquet"
    left = tmp_path / make(path).name.replace(f".{os.getpid()}@", f".{dead()}@")
    other = tmp_path / f".{os.getpid()}.other"
    for file in (left, other):
        file.write_text("half")
    make(path)
    assert not left.exists() and other.exists()
