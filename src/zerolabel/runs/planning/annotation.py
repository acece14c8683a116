"""Which models annotate, with which prompts and which rule."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from zerolabel import vlms
from zerolabel.adaptation.request import Request as Adaptation
from zerolabel.annotations.candidates import parse_rule
from zerolabel.annotations.files import open_annotations
from zerolabel.errors import InputError, nearest
from zerolabel.runs.planning.data import classes_and_rule
from zerolabel.runs.request import Request
from zerolabel.vlms.chat import Chat
from zerolabel.vlms.names import ModelName, is_chat, is_encoder


def what_was_asked(request: Request) -> dict[str, Any]:
    """Classes, models, prompts and rule: from the options, or from annotations that are there already.

    Raises:
        InputError: an option is wrong.
    """
    wanted = () if request.vlm is None else (request.vlm,) if isinstance(request.vlm, str) else tuple(request.vlm)
    if request.annotations is not None:
        return what_was_annotated(request.annotations, wanted)
    names, rule = classes_and_rule(request)
    parse_rule(rule)
    models = tuple(dict.fromkeys(wanted or (vlms.DEFAULT_PHOTO_VLM,)))
    for model in models:
        ModelName.parse(model)
    return {
        "classes": names.names,
        "aliases": names.aliases,
        "vlm": models,
        "templates": tuple(
            vlms.templates(model, request.chat.get("questions") if is_chat(model) else request.templates)
            for model in models
        ),
        "rule": rule,
        "encoder": next(filter(is_encoder, models), None),
        "chat": check_chat(models, {name: value for name, value in request.chat.items() if name != "questions"}),
    }


def what_was_annotated(path: str, wanted: Sequence[str]) -> dict[str, Any]:
    """The same of annotations.

    Args:
        path: where they lie.
        wanted: the one of their models whose features are to be read, or none where it does not matter.

    Raises:
        InputError: there are none, or the model is none of theirs.
    """
    annotations = open_annotations(path)
    prompts_of: dict[str, dict[str, None]] = {}
    for annotator in annotations.annotators:
        prompts_of.setdefault(annotator.model, {})[annotator.template] = None
    if len(wanted) > 1:
        raise InputError(f"--vlm {' --vlm '.join(wanted)}: training reads the features of one model; give one.")
    for model in wanted:
        if model not in prompts_of or not is_encoder(model):
            known = [model for model in prompts_of if is_encoder(model)]
            raise InputError(f"--vlm {model}: {path} has no votes of such a model{nearest(model, known)}")
    return {
        "classes": annotations.classes,
        "aliases": ((),) * len(annotations.classes),
        "vlm": tuple(prompts_of),
        "templates": tuple(tuple(templates) for templates in prompts_of.values()),
        "rule": annotations.rule,
        "encoder": next(filter(is_encoder, wanted or prompts_of), None),
    }


def check_chat(models: Sequence[str], how: dict[str, Any]) -> dict[str, Any]:
    """How the models that answer in words are asked, complete; empty where there is none.

    Raises:
        InputError: an option is wrong, or is given for nothing.
    """
    chats = [model for model in models if is_chat(model)]
    if not chats:
        if how:
            raise InputError("--endpoint and its kin are for a model that answers in words; add --vlm chat:MODEL.")
        return {}
    if "endpoint" not in how:
        raise InputError(f"--vlm {chats[0]} needs --endpoint, the URL of its server, such as http://localhost:8000/v1.")
    if any(find_spec(name) is None for name in ("httpx", "tenacity")):
        raise InputError(f'--vlm {chats[0]} needs two more packages; run: pip install "zerolabel[chat]"')
    full = Chat(ModelName.parse(chats[0]).rest, **how).to_dict()
    return {name: value for name, value in full.items() if name != "model"}


def check_adaptation(asked: dict[str, Any], request: Request) -> None:
    """See that there is one model to adapt, and that the method can, where that is asked.

    Raises:
        InputError: it cannot.
    """
    if request.adapt is None:
        return
    models = [name for name in asked["vlm"] if is_encoder(name)]
    if request.annotations is not None or len(models) != 1:
        raise InputError(f"--adapt {request.adapt} adapts one model with image features before it annotates; give one.")
    if Adaptation.parse(models[0], request.adapt).row.needs_labels and request.few_shot is None:
        raise InputError(f"--adapt {request.adapt} learns from labels; give --few-shot a CSV of file_name,label.")
