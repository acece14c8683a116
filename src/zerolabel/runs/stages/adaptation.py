"""The stage before annotation: the encoding model is adapted to the unlabeled images, where that is asked."""

from dataclasses import replace

from zerolabel.adaptation.adapt import adapt
from zerolabel.adaptation.request import Request
from zerolabel.data.images import ImageSet
from zerolabel.data.label_files import Labels
from zerolabel.runs.base_model import adapted_folder
from zerolabel.runs.config import AnnotatingModel
from zerolabel.runs.context import Context
from zerolabel.runs.folder import timed
from zerolabel.runs.inputs import record
from zerolabel.runs.stages.open_set import in_distribution
from zerolabel.vlms import adapted


def adapt_encoder(context: Context) -> Context:
    """The same run with its encoding model adapted: ``adapted/``; unchanged where no method is named."""
    if context.config.annotation.adapt is None:
        return context
    config, folder = context.config, adapted_folder(context)
    if not (folder / adapted.RECORD).is_file() or "adapt" not in context.folder.finished():
        _adapt(context)
    spec = f"adapted:{folder}"
    tuned = AnnotatingModel(spec, adapted.templates(folder))
    models = tuple(tuned if model.name == config.annotation.encoder else model for model in config.annotation.models)
    annotation = replace(config.annotation, models=models, encoder=spec, adapt=None)
    return replace(context, config=replace(config, annotation=annotation))


def _adapt(context: Context) -> None:
    config, data, training = context.config, context.config.data, context.config.training
    name, classes = str(config.annotation.encoder), context.classes
    request = Request.parse(
        name, str(config.annotation.adapt), flip=training.flip, open_set=data.open_set,
        common={key: training.settings.get(key) for key in ("seed", "device")},
    )  # fmt: skip
    human = Labels.read(data.few_shot, classes, use="train") if data.few_shot else None
    images = in_distribution(context) if data.open_set else ImageSet.open(data.images)
    with timed(context.folder, "adapt") as facts:
        done = adapt(
            images, context.model(name), classes, context.templates(name), request, adapted_folder(context),
            labels=None if human is None else lambda a: human.match(a.file_names, a.sha256),
            cache=context.cache, resume=True, progress=context.progress,
        )  # fmt: skip
        facts |= {"method": request.method, "helped": done.check.helped, "reason": done.check.reason}
    record(context.folder, config)
