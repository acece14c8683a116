"""What may happen before a student learns: the model is adapted, and images of no class are told apart."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from zerolabel.adaptation import Request, adapt
from zerolabel.annotate import Annotated, annotate
from zerolabel.data.classes import Classes
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.diagnostics import open_set
from zerolabel.runs.folder import timed
from zerolabel.runs.outcome import Outcome
from zerolabel.vlms import adapted

if TYPE_CHECKING:
    from zerolabel.runs.pipeline import Job


def place(job: "Job") -> Path:
    """Where what was learnt of the model lies."""
    return job.folder / "adapted"


def after_adapting(job: "Job") -> "Job":
    """The same job with the model adapted.

    Raises:
        InputError: what lies in the folder is another adaptation.
    """
    config, folder, name = job.config, place(job), str(job.config.encoder)
    asked = dict(zip(config.vlm, config.templates, strict=True))
    if not (folder / adapted.RECORD).is_file():
        settings, names = config.settings, Classes(config.classes, config.aliases)
        request = Request.parse(
            name, str(config.adapt), seed=settings.get("seed", 0), device=settings.get("device", "auto"),
            flip=config.flip, open_set=config.open_set,
        )  # fmt: skip
        human = Labels.read(config.few_shot, names) if config.few_shot else None
        images = familiar(job) if config.open_set else ImageSet.open(config.images)
        with timed(job.folder, "adapt") as facts:
            done = adapt(
                images, job.model(name), names, asked[name], request, folder,
                labels=None if human is None else lambda a: human.match(a.file_names, a.sha256),
                cache=job.cache, resume=True, progress=job.progress,
            )  # fmt: skip
            facts |= {"method": request.method, "helped": done.check.helped, "reason": done.check.reason}
    spec = f"adapted:{folder}"
    asked = {spec if model == name else model: templates for model, templates in asked.items()}
    asked[spec] = adapted.templates(folder)
    now = replace(config, vlm=tuple(asked), templates=tuple(asked.values()), encoder=spec, adapt=None)
    return replace(job, config=now)


def unadapted(job: "Job", images: ImageSet) -> Annotated:
    """What the model says of readable images as it was before it was adapted, or as it is."""
    config, name = job.config, str(job.config.encoder)
    templates = dict(zip(config.vlm, config.templates, strict=True))[name]
    if is_adapted(job):
        data = adapted.record(place(job))
        name, templates = data["base"], tuple(data["base_templates"])
    return annotate(images, job.model(name), Classes(config.classes, config.aliases), templates, cache=job.cache)


def is_adapted(job: "Job") -> bool:
    """Whether the model is one that this job adapted."""
    return job.config.encoder == f"adapted:{place(job)}"


def of_unadapted(job: "Job", outcome: Outcome, images: ImageSet) -> tuple[dict[str, float], dict[str, Any]]:
    """How right the model was before it was adapted; nothing where it was not, or truth is unknown."""
    if not is_adapted(job) or outcome.judged is None or job.config.open_set:
        return {}, {}
    return outcome.unadapted(unadapted(job, images).annotations)


def with_unknown(job: "Job") -> "Job":
    """The same job with a class for images of no class."""
    config = job.config
    more = replace(config, classes=(*config.classes, open_set.NAME), aliases=(*config.aliases, ()))
    return replace(job, config=more)


def told_apart(job: "Job", annotated: Annotated, held_out: Annotated | None) -> tuple[Annotated, Annotated | None]:
    """Annotations in which strange images are of the class "unknown": those below where the scores part in two."""
    known = familiarity(job, annotated.images)
    least = open_set.threshold(known)
    told = replace(annotated, annotations=open_set.with_unknown(annotated.annotations, known < least))
    told.annotations.save(job.folder / "annotations.parquet")
    if held_out is None:
        return told, None
    strange = familiarity(job, held_out.images) < least
    beside = replace(held_out, annotations=open_set.with_unknown(held_out.annotations, strange))
    beside.annotations.save(job.folder / "test_annotations.parquet")
    return told, beside


def familiarity(job: "Job", images: ImageSet) -> Float[Tensor, " N"]:
    """How likely each image is of a named class, by the model as it was before it was adapted (MCM)."""
    return _familiarity(job, unadapted(job, images))


def familiar(job: "Job") -> ImageSet:
    """The training images that are not strange."""
    said = unadapted(job, ImageSet.open(job.config.images))
    known = _familiarity(job, said)
    kept = (known >= open_set.threshold(known)).nonzero().squeeze(1).tolist()
    return said.images.named(tuple(said.images.file_names[i] for i in kept))


def _familiarity(job: "Job", said: Annotated) -> Float[Tensor, " N"]:
    name = adapted.record(place(job))["base"] if is_adapted(job) else str(job.config.encoder)
    return open_set.mcm_of_scores(said.annotations.scores, job.model(name).logit_scale)


__all__ = ["after_adapting", "of_unadapted", "told_apart", "with_unknown"]
