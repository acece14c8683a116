"""The stage before annotation: the encoding model is adapted to the unlabeled images, where that is asked."""

from dataclasses import replace

from zerolabel.adaptation.adapt import adapt
from zerolabel.adaptation.request import Request
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.runs.base_model import adapted_folder
from zerolabel.runs.context import Context
from zerolabel.runs.folder import timed
from zerolabel.runs.inputs import record
from zerolabel.runs.stages.open_set import in_distribution
from zerolabel.vlms import adapted


def adapt_encoder(context: Context) -> Context:
    """The same run with its encoding model adapted: ``adapted/``; unchanged where no method is named."""
    if context.config.adapt is None:
        return context
    config, folder = context.config, adapted_folder(context)
    if not (folder / adapted.RECORD).is_file() or "adapt" not in context.folder.finished():
        _adapt(context)
    spec = f"adapted:{folder}"
    asked = {
        spec if name == config.encoder else name: templates
        for name, templates in zip(config.vlm, config.templates, strict=True)
    }
    asked[spec] = adapted.templates(folder)
    return replace(
        context,
        config=replace(config, vlm=tuple(asked), templates=tuple(asked.values()), encoder=spec, adapt=None),
    )


def _adapt(context: Context) -> None:
    config, name, classes = context.config, str(context.config.encoder), context.classes
    request = Request.parse(
        name, str(config.adapt), seed=config.settings.get("seed", 0), device=config.settings.get("device", "auto"),
        flip=config.flip, open_set=config.open_set,
    )  # fmt: skip
    human = Labels.read(config.few_shot, classes, use="train") if config.few_shot else None
    images = in_distribution(context) if config.open_set else ImageSet.open(config.images)
    with timed(context.folder, "adapt") as facts:
        done = adapt(
            images, context.model(name), classes, context.templates(name), request, adapted_folder(context),
            labels=None if human is None else lambda a: human.match(a.file_names, a.sha256),
            cache=context.cache, resume=True, progress=context.progress,
        )  # fmt: skip
        facts |= {"method": request.method, "helped": done.check.helped, "reason": done.check.reason}
    record(context.folder, config)
