"""The main job of `run` and `train`: its plan on the console, all stages, its outcome."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType

from zerolabel.cli.screen import STARTED, display, show, wide

if TYPE_CHECKING:
    from zerolabel.runs.config import Config


def execute(
    config: "Config",
    plan: RenderableType,
    output: Path,
    cache: Path | None,
    *,
    resume: bool,
    overwrite: bool,
    as_json: bool,
    track: Sequence[str] | None = None,
) -> None:
    """Run all stages in a folder.

    Args:
        config: complete configuration of the run.
        plan: printed once the folder is held.
        output: folder of the run.
        cache: folder of image features; None means the user's cache folder.
        resume: continue an interrupted run.
        overwrite: replace another run.
        as_json: print the metrics as JSON.
        track: trackers that the epochs are written to.
    """
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import tables
    from zerolabel.runs import pipeline
    from zerolabel.runs.folder import Folder
    from zerolabel.runs.workspace import Workspace
    from zerolabel.training import trackers

    trackers.check(track or ())
    workspace = Workspace.of(
        config, Folder(output), display(), default_folder(cache), started=STARTED, trackers=tuple(track or ())
    )
    with pipeline.begun(config, workspace, resume=resume, overwrite=overwrite):
        wide(stderr=True).print(plan)
        metrics = pipeline.run(config, workspace)
    show(tables.outcome(metrics, output), metrics, as_json)


__all__ = ["execute"]
