"""Classifier folders from elsewhere: what is not as it should be is refused in one sentence, and nothing is fetched."""

import hashlib
import json
import random
import shutil
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file

from zerolabel.data.views import Preprocess
from zerolabel.deployment.classifier import CONFIG, WEIGHTS, Classifier
from zerolabel.deployment.validation import CHECKSUM
from zerolabel.errors import InputError
from zerolabel.networks import EncodedNetwork, ImageEncoder, build
from zerolabel.networks.timm_backbone import timm_backbone

CLASSES = ("cat", "dog é", "bird")
VIT = {"embed_dim": 16, "vision_cfg": {"image_size": 12, "layers": 1, "width": 64, "patch_size": 4}}
TOWER = {"image_size": 32, "timm_model_name": "convnext_atto", "timm_pool": "avg", "timm_proj": "linear"}


def light():
    return Classifier((build("light", 3, 12),), CLASSES, Preprocess(12, (0.5,) * 3, (0.2,) * 3), 1.5, 0.25, {"a": 1})


def encoded():
    network = EncodedNetwork(ImageEncoder.build(VIT), build("linear", 3, 16))
    return Classifier((network,), CLASSES, Preprocess(12, (0.5,) * 3, (0.2,) * 3))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the network was asked")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def edit(change):
    """Change the entries of a config.json, as one does who knows its checksum."""

    def damage(folder):
        config = json.loads((folder / CONFIG).read_text())
        config.pop(CHECKSUM, None)
        change(config)
        (folder / CONFIG).write_text(json.dumps(config))

    return damage


def at(*path, value):
    def change(config):
        for step in path[:-1]:
            config = config[step]
        config[path[-1]] = value

    return edit(change)


def weights(change):
    """Change the weights, and their hash with them."""

    def damage(folder):
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS)
        digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        at("weights_sha256", value=digest)(folder)

    return damage


def spec(**entries):
    return edit(lambda config: config["networks"][0].update(entries))


def vision(**entries):
    return edit(lambda config: config["networks"][0]["encoder"]["vision_cfg"].update(entries))


def text(content):
    return lambda folder: (folder / CONFIG).write_text(content)


def poke(state):
    state["0.head.weight"][0, 0] = float("nan")


DAMAGED = {
    "class twice": (light, at("id2label", "1", value="cat")),
    "class empty": (light, at("id2label", "1", value=" ")),
    "class a number": (light, at("id2label", "1", value=5)),
    "class null": (light, at("id2label", "1", value=None)),
    "class that no file holds": (light, at("id2label", "1", value="\ud800")),
    "class id -1": (light, edit(lambda c: c["id2label"].update({"-1": c["id2label"].pop("2")}))),
    "a class more": (light, at("id2label", "3", value="fox")),
    "a class less": (light, edit(lambda c: c["id2label"].pop("2"))),
    "classes as a list": (light, at("id2label", value=list(CLASSES))),
    "no classes": (light, at("id2label", value={})),
    "temperature 0": (light, at("temperature", value=0)),
    "temperature text": (light, at("temperature", value="1")),
    "temperature true": (light, at("temperature", value=True)),
    "temperature negative": (light, at("temperature", value=-2.0)),
    "threshold 2": (light, at("threshold", value=2)),
    "threshold text": (light, at("threshold", value="x")),
    "provenance a list": (light, at("provenance", value=[])),
    "networks none": (light, at("networks", value=[])),
    "networks a million": (light, edit(lambda c: c.update(networks=c["networks"] * 10_000))),
    "networks of numbers": (light, at("networks", value=[1])),
    "a network by no name": (light, spec(name=5)),
    "a network that is unknown": (light, spec(name="resnet0")),
    "a network by a hub's name": (light, spec(name="hf-hub:org/model")),
    "a network by a folder": (light, spec(name="local-dir:/tmp/model")),
    "a network by a path": (light, spec(name="/etc/passwd")),
    "a network of timm's hub": (light, spec(name="hf_hub:timm/resnet18.a1_in1k")),
    "size a billion": (light, spec(size=10**9)),
    "size text": (light, spec(size="12")),
    "size unlike the view's": (light, spec(size=14)),
    "size negative": (light, spec(size=-12)),
    "classes of the network": (light, spec(n_classes=4)),
    "classes of the network, a billion": (light, spec(n_classes=10**9)),
    "another network": (light, spec(name="preact_resnet18", size=12)),
    "an encoder as text": (light, spec(encoder="hf-hub:org/model")),
    "view of a billion pixels": (light, at("preprocess", "size", value=10**9)),
    "view's mean nan": (light, text('{"format": NaN}')),
    "view's mean text": (light, at("preprocess", "mean", value=["0", "0", "0"])),
    "view's std 0": (light, at("preprocess", "std", value=[0, 1, 1])),
    "view's mean too long": (light, at("preprocess", "mean", value=[0] * 4)),
    "view of another fit": (light, at("preprocess", "fit", value="stretch")),
    "format true": (light, at("format", value="1")),
    "deep": (light, text("[" * 100_000)),
    "deep inside": (light, text('{"format": 1, "id2label": ' + '{"a":' * 100_000)),
    "no text": (light, lambda folder: (folder / CONFIG).write_bytes(b"\xff\xfe\x00")),
    "an entry twice": (light, text('{"format": 1, "format": 1}')),
    "huge": (light, text(" " * ((64 << 20) + 1))),
    "weights nan": (light, weights(poke)),
    "weights of another shape": (light, weights(lambda s: s.update({"0.head.bias": torch.zeros(4)}))),
    "weights of another type": (light, weights(lambda s: s.update({"0.head.bias": torch.zeros(3).half()}))),
    "weights missing": (light, weights(lambda s: s.pop("0.head.bias"))),
    "weights too many": (light, weights(lambda s: s.update({"x": torch.zeros(1)}))),
    "an encoder by a hub's name": (encoded, vision(**TOWER | {"timm_model_name": "hf-hub:org/model"})),
    "an encoder by timm's hub": (encoded, vision(**TOWER | {"timm_model_name": "hf_hub:timm/vit"})),
    "an encoder by a folder": (encoded, vision(**TOWER | {"timm_model_name": "local-dir:/tmp/model"})),
    "an encoder by a relative path": (encoded, vision(**TOWER | {"timm_model_name": "../model"})),
    "an encoder that is unknown": (encoded, vision(**TOWER | {"timm_model_name": "no_such_model"})),
    "an encoder by a list": (encoded, vision(**TOWER | {"timm_model_name": ["resnet18"]})),
    "a pretrained encoder, of other weights": (encoded, vision(**TOWER | {"timm_model_pretrained": True})),
    "a place deep in an encoder": (encoded, vision(act_kwargs={"a": [{"b": "https://a.example/x"}]})),
    "an encoder of a billion layers": (encoded, vision(layers=10**9)),
    "an encoder of no layers": (encoded, vision(layers=-1)),
    "an encoder of wide layers": (encoded, vision(width=2**40)),
    "an encoder of patches of 0": (encoded, vision(patch_size=0)),
    "an encoder with an unknown entry": (encoded, vision(depth=3)),
    "an encoder of other width": (encoded, vision(width=128)),
    "an encoder of a billion features": (encoded, at("networks", 0, "encoder", "embed_dim", value=10**9)),
    "an encoder without vision": (encoded, edit(lambda c: c["networks"][0]["encoder"].pop("vision_cfg"))),
    "an encoder with a text tower from a hub": (
        encoded,
        edit(lambda c: c["networks"][0]["encoder"].update(text_cfg={"hf_model_name": "org/model"})),
    ),
    "a head from elsewhere": (encoded, spec(name="resnet18")),
    "prompts a billion": (encoded, spec(name="zero_shot", n_prompts=10**9)),
    "a head of negative shape": (encoded, spec(name="feature_head", head={"weights": [-1, 16]})),
    "a head of odd shape": (encoded, spec(name="feature_head", head={"weights": "x"})),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_refused_before_anything_is_fetched(kind, tmp_path, no_network):
    make, damage = DAMAGED[kind]
    make().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(InputError) as caught:
        Classifier.load(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("make", [light, encoded])
def test_what_was_saved_is_loaded_without_a_network(make, tmp_path, no_network):
    model = make()
    model.save(tmp_path)
    found = Classifier.load(tmp_path)
    assert (found.classes, found.preprocess, found.temperature) == (model.classes, model.preprocess, model.temperature)
    for name, tensor in model.networks[0].state_dict().items():
        assert torch.equal(found.networks[0].state_dict()[name], tensor)


def test_a_pretrained_encoder_is_built_without_its_weights(tmp_path, no_network):
    built = ImageEncoder.build({"embed_dim": 16, "vision_cfg": {**TOWER, "timm_model_pretrained": True}})
    assert built.size == 32


def test_a_change_by_hand_is_seen_and_can_be_meant(tmp_path):
    light().save(tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(config | {"temperature": 2.0}))
    with pytest.raises(InputError, match=f"remove its entry {CHECKSUM}"):
        Classifier.load(tmp_path)
    at("temperature", value=2.0)(tmp_path)
    assert Classifier.load(tmp_path).temperature == 2.0


@pytest.mark.parametrize("name", ["hf-hub:a/b", "hf_hub:a/b", "local-dir:x", "/x/y", "./resnet18", "~/resnet18"])
def test_a_student_is_never_fetched_by_a_place(name, no_network):
    with pytest.raises(InputError, match="is a place"):
        timm_backbone(name, 32, pretrained=False)


def broken(data, chance):
    data = bytearray(data)
    if chance.random() < 0.2:
        return bytes(data[: chance.randrange(len(data))])
    for _ in range(chance.choice((1, 1, 2, 8))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_hundred_damaged_folders(tmp_path, no_network):
    """Nothing but a refusal in one sentence, or the very classifier that was saved."""
    chance, ways = random.Random(11), list(DAMAGED)
    saved = {make: tmp_path / make.__name__ for make in (light, encoded)}
    whole = {make: make() for make in saved}
    for make, folder in saved.items():
        whole[make].save(folder)
    for i in range(200):
        folder = tmp_path / "damaged"
        if i % 4 == 3:
            make, damage = DAMAGED[chance.choice(ways)]
            shutil.copytree(saved[make], folder)
            damage(folder)
        else:
            make = chance.choice(list(saved))
            shutil.copytree(saved[make], folder)
            file = folder / (CONFIG if i % 4 else WEIGHTS)
            file.write_bytes(broken(file.read_bytes(), chance))
        try:
            found = Classifier.load(folder)
        except InputError as error:
            assert "\n" not in str(error), i
        else:
            assert i % 4 != 3, i
            expected = whole[make]
            assert (found.classes, found.preprocess, found.temperature, found.threshold, found.provenance) == (
                *(expected.classes, expected.preprocess, expected.temperature, expected.threshold),
                expected.provenance,
            ), i
            for a, b in zip(found.networks[0].parameters(), expected.networks[0].parameters(), strict=True):
                assert torch.equal(a, b), i
        shutil.rmtree(folder)
