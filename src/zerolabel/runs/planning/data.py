"""Which images, classes and human labels a run reads."""

from zerolabel.data.classes import Classes
from zerolabel.runs.config import DataConfig
from zerolabel.runs.request import Request


def resolve_data(request: Request, names: Classes) -> DataConfig:
    """The part of the configuration that says what is read."""
    return DataConfig(
        images=str(request.images),
        classes=names.names,
        aliases=names.aliases,
        truth=request.truth,
        test_images=request.test_images,
        few_shot=request.few_shot,
        open_set=request.open_set,
    )
