"""The road of weights from the hub, with ``HF_ENDPOINT`` at a server of its protocol: tiny models under real names."""

import os
import subprocess
import sys

import pytest
import timm
import torch
from safetensors.torch import save

from tests import tiny_clip
from tests.hub_server import serving
from zerolabel.vlms import DEFAULT_PHOTO_VLM, hub_repository

WEIGHTS = "open_clip_model.safetensors"
FETCH = "from zerolabel import vlms; print(vlms._download(sys.argv[2], sys.argv[1]))"
LOAD = "from zerolabel import vlms; print(vlms.load(sys.argv[1]).revision)"
TIMM = "from zerolabel.networks import build; print(build('test_vit', 3, 160, pretrained=True).pretrained)"
REPORT = """
import sys, warnings
from huggingface_hub import constants
from zerolabel.errors import InputError
constants.DOWNLOAD_CHUNK_SIZE = 1000
warnings.simplefilter("ignore", DeprecationWarning)
try:
    {}
except InputError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "model"
    tiny_clip.write(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def python(code, hub, cache, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.address if hub else "http://127.0.0.1:9", "HF_HOME": str(cache)}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", REPORT.format(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_default_model_is_downloaded_once_and_then_loads_offline(files, tmp_path):
    repository = hub_repository(DEFAULT_PHOTO_VLM)
    with serving() as hub:
        hub.add(repository, files)
        first = python(LOAD, hub, tmp_path, DEFAULT_PHOTO_VLM)
        assert first.returncode == 0, first.stderr
        asked = len(hub.requests)
        assert [path for method, path, _ in hub.requests if method == "GET" and path.endswith(WEIGHTS)]
        assert hub.tokens == {None}
    assert asked > 0
    offline = python(LOAD, None, tmp_path, DEFAULT_PHOTO_VLM)
    assert (offline.returncode, offline.stdout) == (0, first.stdout), offline.stderr


def test_a_broken_download_goes_on_where_it_ended(files, tmp_path):
    with serving() as hub:
        hub.add("me/clip", files)
        hub.cut[WEIGHTS] = 3500
        done = python(FETCH, hub, tmp_path, "hf-hub:me/clip", "me/clip")
        assert done.returncode == 0, done.stderr
        ranges = [asked for method, path, asked in hub.requests if method == "GET" and path.endswith(WEIGHTS)]
    assert ranges == [None, "bytes=3000-"]
    (path,) = tmp_path.rglob(f"snapshots/*/{WEIGHTS}")
    assert path.read_bytes() == files[WEIGHTS]


def test_a_wrong_hash_is_refused_and_leaves_nothing(files, tmp_path):
    with serving() as hub:
        hub.add("me/clip", files)
        hub.damaged.add(WEIGHTS)
        done = python(FETCH, hub, tmp_path, "hf-hub:me/clip", "me/clip")
        assert done.returncode == 1 and "arrived damaged: its SHA-256" in done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1
        assert not list(tmp_path.rglob(f"snapshots/*/{WEIGHTS}"))
        hub.damaged.clear()
        assert python(FETCH, hub, tmp_path, "hf-hub:me/clip", "me/clip").returncode == 0
    (path,) = tmp_path.rglob(f"snapshots/*/{WEIGHTS}")
    assert path.read_bytes() == files[WEIGHTS]


def test_without_network_and_cache_a_sentence_says_how_to_carry_the_model(tmp_path):
    done = python(FETCH, None, tmp_path, "hf-hub:me/clip", "me/clip")
    assert done.returncode == 1 and "is not on this machine and the network cannot be reached" in done.stderr


def test_weights_of_timm_take_the_same_road(tmp_path):
    torch.manual_seed(0)
    weights = save(timm.create_model("test_vit", pretrained=False).state_dict())
    with serving() as hub:
        hub.add(timm.get_pretrained_cfg("test_vit").hf_hub_id, {"model.safetensors": weights})
        hub.damaged.add("model.safetensors")
        damaged = python(TIMM, hub, tmp_path)
        assert damaged.stdout == "False\n" and "arrived damaged" in damaged.stderr, damaged.stderr
        hub.damaged.clear()
        hub.cut["model.safetensors"] = 5000
        assert python(TIMM, hub, tmp_path).stdout == "True\n"
        assert ("GET", "bytes=5000-") in [(method, asked) for method, _, asked in hub.requests]
    assert python(TIMM, None, tmp_path).stdout == "True\n"


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("hf-hub:me/clip", "me/clip"),
        ("open_clip:ViT-B-32/openai", "timm/vit_base_patch32_clip_224.openai"),
        ("open_clip:/some/folder", None),
        ("glyphs", None),
        ("chat:some", None),
        ("a person", None),
    ],
)
def test_repositories_of_models(name, repository):
    assert hub_repository(name) == repository
