"""Which models annotate, with which prompts and which rule.

Annotations, and with them torch, are loaded only where they are read, so that a plan is on the screen at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from zerolabel import vlms
from zerolabel.data.classes import Classes, load_classes
from zerolabel.errors import InputError, nearest
from zerolabel.options import one_of
from zerolabel.runs.config import AnnotatingModel, AnnotationConfig
from zerolabel.runs.request import Request
from zerolabel.vlms.chat import Chat
from zerolabel.vlms.names import ModelName, check_vision_name, is_chat, is_encoder, reads_characters

WEIGHTS = ("estimated", "uniform")
"""Weights of prompts, see `zerolabel.annotate.prompt_weights`: by default estimated, or Co-Reg's plain mean."""
PRECISIONS, FEATURE_PRECISIONS = (None, "auto", "float32", "bfloat16"), (None, "float32", "float16")
"""Values of ``--precision`` and ``--store-features``."""
ENCODER_RULE = "mass:0.9"
"""Candidates of models that give features: the fewest classes that hold so much of the scores."""


def resolve_annotation(request: Request) -> tuple[Classes, AnnotationConfig]:
    """The classes, and how they are annotated: from the options, or from annotations that exist.

    Raises:
        InputError: an option is wrong.
    """
    wanted = () if request.vlm is None else (request.vlm,) if isinstance(request.vlm, str) else tuple(request.vlm)
    make = new_annotations if request.annotations is None else given_annotations
    names, annotation = make(request, wanted)
    return names, replace(annotation, vision_encoders=vision_encoders(request, annotation))


def vision_encoders(request: Request, annotation: AnnotationConfig) -> tuple[str, ...]:
    """Names of the encoders without texts, each once.

    Raises:
        InputError: a name is none of an encoder's, or there is no model beside which they could be read.
    """
    names = tuple(dict.fromkeys(request.encoders))
    for name in names:
        check_vision_name(name)
    if names and annotation.encoder is None:
        raise InputError(
            f"--encoder {names[0]} is read beside the image features of an annotating model, and there is none; name "
            "one by --vlm, such as open_clip:MODEL."
        )
    return names


def new_annotations(request: Request, wanted: Sequence[str]) -> tuple[Classes, AnnotationConfig]:
    """Classes, models, prompts and rule of annotations that the run makes.

    Raises:
        InputError: an option is wrong.
    """
    names, rule = classes_and_rule(request)
    models = tuple(dict.fromkeys(wanted or (vlms.DEFAULT_PHOTO_VLM,)))
    for model in models:
        ModelName.parse(model)
    asked = templates_of(models, request.templates)
    return names, AnnotationConfig(
        models=tuple(AnnotatingModel(m, own) for m, own in zip(models, asked, strict=True)),
        rule=default_rule(models) if rule is None else rule,
        prompt_weights=one_of("--prompt-weights", request.prompt_weights, (None, *WEIGHTS)) or WEIGHTS[0],
        precision=one_of("--precision", request.precision, PRECISIONS) or "auto",
        feature_precision=one_of("--store-features", request.feature_precision, FEATURE_PRECISIONS) or "float32",
        encoder=next(filter(is_encoder, models), None),
        adapt=request.adapt,
        allow_changed=request.allow_changed,
        append=request.append,
        chat=check_chat(models, request.chat),
    )


def default_rule(models: Sequence[str]) -> str:
    """Default candidate rule.

    Weighted prompts of an encoder have one opinion, whose probability mass says how many classes are in question, see
    ``benchmarks/results/real_vlm.json``. Chat models give no probabilities, and the fonts of glyphs differ enough.
    """
    photographs = all(is_encoder(model) and not reads_characters(model) for model in models)
    return ENCODER_RULE if photographs else "union"


def templates_of(models: Sequence[str], source: str | Sequence[str] | None) -> tuple[tuple[str, ...], ...]:
    """The prompts of each model.

    Args:
        models: names.
        source: a source for all of them, see `zerolabel.vlms.templates`, or one for each; None is each model's own.

    Raises:
        InputError: their numbers differ, or one source is for chat models and for others.
    """
    sources = (source,) if isinstance(source, str) else tuple(source or ())
    if len(sources) > 1 and len(sources) != len(models):
        raise InputError(
            f"{len(sources)} --templates do not fit {len(models)} --vlm; give one for all, or one for each."
        )
    if len(sources) == 1 and len({is_chat(model) for model in models}) > 1:
        raise InputError(
            f"--templates {sources[0]}: the prompts of chat models list the classes, those of others name one; give "
            "--templates for each --vlm in order, or default for a model's own."
        )
    each = sources if len(sources) == len(models) else (sources or (None,)) * len(models)
    return tuple(vlms.templates(model, source) for model, source in zip(models, each, strict=True))


def given_annotations(request: Request, wanted: Sequence[str]) -> tuple[Classes, AnnotationConfig]:
    """Annotation configuration for existing annotations.

    Args:
        request: names the file.
        wanted: the model whose features are to be read, which may be none of theirs; none where it does not matter.

    Raises:
        InputError: there are none, or the model has no image features.
    """
    from zerolabel.annotations.files import open_annotations

    path = str(request.annotations)
    annotations = open_annotations(path)
    prompts_of: dict[str, dict[str, None]] = {}
    for annotator in annotations.annotators:
        prompts_of.setdefault(annotator.model, {})[annotator.template] = None
    if len(wanted) > 1:
        raise InputError(f"--vlm {' --vlm '.join(wanted)}: training reads the features of one model; give one.")
    for model in wanted:
        if not is_encoder(model):
            ModelName.parse(model)
            known = [model for model in prompts_of if is_encoder(model)]
            raise InputError(f"--vlm {model} has no image features to read{nearest(model, known)}")
    return Classes(annotations.classes, ((),) * len(annotations.classes)), AnnotationConfig(
        models=tuple(AnnotatingModel(model, tuple(templates)) for model, templates in prompts_of.items()),
        rule=annotations.rule,
        precision=one_of("--precision", request.precision, PRECISIONS) or "auto",
        feature_precision=one_of("--store-features", request.feature_precision, FEATURE_PRECISIONS) or "float32",
        encoder=next(filter(is_encoder, wanted or prompts_of), None),
        adapt=request.adapt,
        annotations=request.annotations,
        allow_changed=request.allow_changed,
        append=request.append,
    )


def classes_and_rule(request: Request) -> tuple[Classes, str | None]:
    """Classes and rule from the options, otherwise from the annotations that are appended to.

    Raises:
        InputError: neither says it, or they name different classes.
    """
    if request.append is None:
        if request.classes is None:
            raise InputError("give --classes: a file of class names, or names with commas between.")
        return load_classes(request.classes), request.candidates
    from zerolabel.annotations.candidates import rule_or_union
    from zerolabel.annotations.files import open_annotations
    from zerolabel.annotations.merging import with_classes

    before = open_annotations(request.append)
    names = Classes(before.classes) if request.classes is None else load_classes(request.classes)
    with_classes(before, names.names, ("--classes", request.append))
    return names, request.candidates or rule_or_union(before.rule)


def check_chat(models: Sequence[str], how: dict[str, Any]) -> dict[str, Any]:
    """Complete options of the chat models; empty if there are none.

    Raises:
        InputError: an option is wrong, or is given for nothing.
    """
    chats = [model for model in models if is_chat(model)]
    if not chats:
        if how:
            raise InputError("--endpoint and similar options are for a chat model; add --vlm chat:MODEL.")
        return {}
    if "endpoint" not in how:
        raise InputError(f"--vlm {chats[0]} needs --endpoint, the URL of its server, such as http://localhost:8000/v1.")
    if any(find_spec(name) is None for name in ("httpx", "tenacity")):
        raise InputError(f'--vlm {chats[0]} needs two more packages; run: pip install "zerolabel-vision[chat]"')
    full = Chat(ModelName.parse(chats[0]).rest, **how).to_dict()
    return {name: value for name, value in full.items() if name != "model"}
