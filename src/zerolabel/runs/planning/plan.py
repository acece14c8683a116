"""From what a user asked to a complete configuration.

`draft` makes every choice, and loads torch only where the request names what needs it; `plan` checks it as well.
"""

from dataclasses import replace
from datetime import UTC, datetime

from zerolabel import vlms
from zerolabel.data.images import ImageSet
from zerolabel.options import one_of
from zerolabel.runs import presets
from zerolabel.runs.config import HEADS, Config, DeploymentConfig
from zerolabel.runs.planning.annotation import resolve_annotation
from zerolabel.runs.planning.budget import within
from zerolabel.runs.planning.data import resolve_data
from zerolabel.runs.planning.route import resolve_route
from zerolabel.runs.planning.training import resolve_training, wanted_options
from zerolabel.runs.presets import Preset
from zerolabel.runs.request import Request
from zerolabel.version import __version__


def plan(request: Request) -> Config:
    """Fill in what was not said, and check all of it.

    Raises:
        InputError: something that was said cannot be.
    """
    from zerolabel.runs.planning.checks import check

    config = draft(request)
    check(config)
    return config


def needs_check(request: Request) -> bool:
    """True if a request has values that `draft` takes as they are and `zerolabel.runs.planning.checks` examines."""
    said = (request.truth, request.few_shot, request.candidates, request.adapt, request.append, *request.options)
    return any(said) or request.open_set


def draft(request: Request) -> Config:
    """Fill in what was not said.

    Raises:
        InputError: something that was said is not known, or does not go together.
    """
    wanted = wanted_options(request)
    images = ImageSet.open(request.images)
    if request.test_images is not None:
        ImageSet.open(request.test_images)
    if images.embeddings is not None and request.vlm is None and not (request.annotations or request.append):
        request = replace(request, vlm=vlms.default_name(images))
    preset = presets.find(request.preset, len(images), wanted.settings.get("epochs"))
    request = with_preset(request, preset)
    names, annotation = resolve_annotation(request)
    data = resolve_data(request, names)
    route = resolve_route(request, images, len(data.classes), annotation.encoder, preset.sizes)
    if route.student in HEADS:
        preset = presets.for_head(preset, len(images), len(data.classes), wanted.settings.get("epochs"))
    if route.student in HEADS and not (route.propagate or data.few_shot):
        preset = presets.near_zero_shot(preset, len(images), len(data.classes))
    training = resolve_training(request, preset, wanted, route, data, annotation)
    config = Config(
        data=data,
        annotation=annotation,
        training=training,
        deployment=DeploymentConfig(one_of("--deploy", request.deploy, (None, "one", "both")) or "one"),
        preset=f"{preset.name}: {preset.why}{route.why}",
        command=request.command,
        zerolabel=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return config if request.time is None else within(config, request, images)


def with_preset(request: Request, preset: Preset) -> Request:
    """The request with a preset's choices where it says nothing.

    Annotations that exist have models, prompts and a rule of their own, which no preset changes.
    """
    own = ("vlm", "templates", "candidates", "prompt_weights") if request.annotations or request.append else ()
    given = {name for name in preset.choices if getattr(request, name) is not None}
    return replace(request, **{name: preset.choices[name] for name in preset.choices if name not in (*own, *given)})
