"""A vision-language model with what was learned of it: ``adapted:FOLDER``."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from zerolabel.data.classes import Classes
from zerolabel.errors import InputError
from zerolabel.files import strict_json
from zerolabel.networks.feature_head import FeatureHead
from zerolabel.networks.prompted import OF_CLASSES, Encoders, PromptedNetwork, kinds
from zerolabel.vlms.clip import DualEncoder
from zerolabel.vlms.embedded import texts_of
from zerolabel.vlms.encoder import Encoder
from zerolabel.vlms.names import ModelName, is_encoder

RECORD, WEIGHTS = "adapted.json", "adapted.safetensors"
LAYOUT = 2
"""Version of the prompt layout: since 2, tokens beside patches pass the encoder's first normalization."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


_ENTRIES: dict[str, Callable[[Any], bool]] = {
    "base": _is_text,
    "revision": _is_text,
    "tune": _is_text,
    "words": _is_text,
    "templates": _is_list,
    "base_templates": _is_list,
    "classes": lambda value: _is_list(value) and len(set(value)) == len(value) > 1,
    "aliases": lambda value: isinstance(value, list) and all(map(_is_list, value)),
    "used": lambda value: isinstance(value, bool),
    "threshold": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1,
}
"""Required entries of the record with their checks."""


def record(folder: Path) -> dict[str, Any]:
    """Read the record of an adapted model.

    Raises:
        InputError: there is no such folder, or it is damaged.
    """
    where = f"--vlm adapted:{folder}"
    try:
        data = strict_json.read(folder / RECORD)
    except FileNotFoundError:
        raise InputError(f"{where}: there is no {RECORD} in it; `zerolabel adapt` makes one.") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{where}: {RECORD} is damaged ({error}); adapt again.") from None
    for name, fits in _ENTRIES.items():
        if name not in data:
            raise InputError(f"{where}: {RECORD} lacks '{name}'; adapt again.")
        if not fits(data[name]):
            raise InputError(f"{where}: {RECORD} is damaged (its entry '{name}' is of another type); adapt again.")
    if len(data["aliases"]) != len(data["classes"]) or _is_circle(folder, data["base"]):
        raise InputError(f"{where}: {RECORD} is damaged (its entries do not fit together); adapt again.")
    return data


def _is_circle(folder: Path, base: str) -> bool:
    """True if a model is said to be adapted from itself, at any distance."""
    seen = {folder.resolve()}
    while (name := ModelName.parse(base)).kind == "adapted":
        place = name.path.resolve()
        if place in seen:
            return True
        seen.add(place)
        try:
            base = str(strict_json.read(place / RECORD).get("base"))
        except (OSError, ValueError):  # told when that model is loaded
            return False
    return False


def base_of(name: str) -> str:
    """Name of the model that a model was adapted from, or embeddings were made by, at any distance; else its own.

    Raises:
        InputError: a folder on the way is missing or damaged.
    """
    while (parsed := ModelName.parse(name)).kind in ("adapted", "embeddings"):
        if parsed.kind == "adapted":
            name = str(record(parsed.path)["base"])
        elif not is_encoder(texts := texts_of(name, parsed.rest)):
            return name
        else:
            name = texts
    return name


def templates(folder: Path) -> tuple[str, ...]:
    """The prompts that the adapted model is asked with; the words before a name are learned where the text is."""
    data = record(folder)
    return tuple(data["templates"] if data["used"] else data["base_templates"])


def load(spec: str, folder: Path, base: Callable[[str], Encoder]) -> Encoder:
    """The base model with the learned parts put in; the base model alone where adapting it did not help.

    Args:
        spec: how it was named.
        folder: what `zerolabel adapt` wrote.
        base: loads a model by name.

    Raises:
        InputError: the folder is damaged, or the base model is another than it was.
    """
    data = record(folder)
    encoder = base(data["base"])
    if encoder.revision != data["revision"]:
        raise InputError(f"--vlm {spec}: {data['base']} is no longer the model that was adapted; adapt it again.")
    if not data["used"]:
        return replace(encoder, name=spec)
    if not data["tune"]:
        return replace(encoder, name=spec, head=read_head(spec, folder), classes=tuple(data["classes"]))
    if not isinstance(encoder, DualEncoder):
        raise InputError(f"--vlm {spec}: {data['base']} has embeddings, and no encoder to adapt; adapt again.")
    if {"visual", "deep", "both"} & set(kinds(data["tune"])) and data.get("layout") != LAYOUT:
        raise InputError(
            f"--vlm {spec}: it is of another version of zerolabel, which put tokens elsewhere; adapt again."
        )
    names = Classes(tuple(data["classes"]), tuple(map(tuple, data["aliases"])))
    network = prompted(encoder, names, data["tune"], data["words"], data["templates"])
    fill(spec, folder, network)
    encoders = network.encoders
    chosen = set(kinds(data["tune"]))
    if not chosen & OF_CLASSES:
        beside = encoders.fold_parametrizations()
        return replace(encoder, name=spec, model=encoders, config={**encoder.config, **beside})
    texts = network.head
    head = texts.eval() if "conditional" in chosen else FeatureHead(texts.blended())
    head.requires_grad_(False)
    images = without_texts(encoder, encoders, chosen - OF_CLASSES)
    return replace(images, name=spec, head=head, classes=names.names)


def prompted(
    encoder: DualEncoder, classes: Classes, tune: str, words: str, templates: Sequence[str]
) -> PromptedNetwork:
    """The network that is trained: a model with the parts that are learned.

    Raises:
        InputError: the model has no place for them.
    """
    size, levels = encoder.view.size, encoder.config.get("characters")
    return PromptedNetwork.of(encoder.model, encoder.tokenizer, tune, words, classes, templates, size, levels)


def fill(spec: str, folder: Path, network: PromptedNetwork) -> None:
    """Put in what was learned.

    Raises:
        InputError: the file is damaged, or of another network.
    """
    try:
        state = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"--vlm {spec}: {WEIGHTS} is damaged ({error}); adapt again.") from None
    learned = {name: p for name, p in network.named_parameters() if name in network.learned}
    if set(state) != set(learned) or any(state[name].shape != p.shape for name, p in learned.items()):
        raise InputError(f"--vlm {spec}: {WEIGHTS} does not fit {RECORD}; adapt again.")
    with torch.no_grad():
        for name, p in learned.items():
            p.copy_(state[name])


def without_texts(encoder: DualEncoder, learned: Encoders, parts: set[str]) -> DualEncoder:
    """A model with the learned parts of its image side alone."""
    if not parts:
        return encoder
    encoders = Encoders(encoder.model, encoder.tokenizer, "+".join(sorted(parts)))
    state = dict(learned.named_parameters())
    with torch.no_grad():
        for name, p in encoders.named_parameters():
            if p.requires_grad:
                p.copy_(state[name])
    beside = encoders.fold_parametrizations()
    return replace(encoder, model=encoders, config={**encoder.config, **beside})


def read_head(spec: str, folder: Path) -> FeatureHead:
    """The head that a few-shot method left behind.

    Raises:
        InputError: it is damaged.
    """
    try:
        state = load_file(folder / WEIGHTS)
        head = FeatureHead.blank({name: tensor.shape for name, tensor in state.items()})
        head.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"--vlm {spec}: {WEIGHTS} is damaged ({error}); adapt again.") from None
    return head.requires_grad_(False)
