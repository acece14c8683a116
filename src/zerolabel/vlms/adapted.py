"""A vision-language model with what was learnt of it: ``adapted:FOLDER``."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from zerolabel.errors import InputError
from zerolabel.networks.prompted import Encoders
from zerolabel.vlms.clip import DualEncoder

RECORD, WEIGHTS = "adapted.json", "adapted.safetensors"
PREFIX = "backbone.encoders."


def record(folder: Path) -> dict[str, Any]:
    """What the folder says of itself.

    Raises:
        InputError: there is no such folder, or it is damaged.
    """
    try:
        data: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        missing = [key for key in ("base", "revision", "prompt", "words", "templates", "used") if key not in data]
    except FileNotFoundError:
        raise InputError(f"--vlm adapted:{folder}: there is no {RECORD} in it; `zerolabel adapt` makes one.") from None
    except (ValueError, OSError) as error:
        raise InputError(f"--vlm adapted:{folder}: {RECORD} is damaged ({error}); adapt again.") from None
    if missing:
        raise InputError(f"--vlm adapted:{folder}: {RECORD} lacks '{missing[0]}'; adapt again.")
    return data


def templates(folder: Path) -> tuple[str, ...]:
    """The prompts that the adapted model is asked with; the words before a name are learnt where the text is."""
    data = record(folder)
    return tuple(data["templates"] if data["used"] else data["base_templates"])


def load(spec: str, folder: Path, base: Callable[[str], DualEncoder]) -> DualEncoder:
    """The base model with the learnt parts put in; the base model alone where adapting it did not help.

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
    encoders = Encoders(encoder.model, encoder.tokenizer, data["prompt"], data["words"])
    known = {name: p for name, p in encoders.named_parameters() if p.requires_grad}
    try:
        state = {name.removeprefix(PREFIX): value for name, value in load_file(folder / WEIGHTS).items()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"--vlm {spec}: {WEIGHTS} is damaged ({error}); adapt again.") from None
    if set(state) != set(known) or any(state[name].shape != p.shape for name, p in known.items()):
        raise InputError(f"--vlm {spec}: {WEIGHTS} does not fit {RECORD}; adapt again.")
    with torch.no_grad():
        for name, p in known.items():
            p.copy_(state[name])
    beside = encoders.settle()
    return replace(encoder, name=spec, model=encoders, config={**encoder.config, **beside})
