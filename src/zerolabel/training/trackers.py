"""Trackers of experiments: TensorBoard, MLflow, and Weights & Biases, fed by the log of each epoch.

Each is an extra of its own name. What they write stays on this machine, in ``tracking/`` of the run's folder, unless
the tracker's own environment variable (``MLFLOW_TRACKING_URI``, ``WANDB_MODE``) says otherwise.
"""

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from zerolabel.errors import InputError, nearest
from zerolabel.training.loop import EpochLog

FOLDER = "tracking"
Write = Callable[[int, Mapping[str, float]], None]
"""Takes the number of an epoch and its values by name."""


def tracked(epochs: Iterable[EpochLog], stage: str, names: Sequence[str], folder: Path) -> Iterator[EpochLog]:
    """Pass epochs on, each written to the trackers first.

    Args:
        epochs: of a training.
        stage: its name, the first part of the names of values.
        names: of `TRACKERS`.
        folder: of the run.
    """
    with ExitStack() as stack:
        writers = [stack.enter_context(TRACKERS[name](folder / FOLDER, f"{folder.name} {stage}")) for name in names]
        for log in epochs:
            values = scalars(stage, log)
            for write in writers:
                write(log.epoch, values)
            yield log


def scalars(stage: str, log: EpochLog) -> dict[str, float]:
    """The numbers of an epoch by name.

    Example:
        >>> list(scalars("train", EpochLog(0, 0.5, {"partial": 1.5}, {"agreement": 0.9}, 0.1, 200.0, 2.0)))
        ['train/loss/partial', 'train/agreement', 'train/learning_rate', 'train/images_per_second']
    """
    stage = stage.replace(" ", "_")
    return {
        **{f"{stage}/loss/{name}": value for name, value in log.losses.items()},
        **{f"{stage}/{name}": value for name, value in log.figures.items()},
        f"{stage}/learning_rate": log.learning_rate,
        f"{stage}/images_per_second": log.images_per_second,
    }


def check(names: Sequence[str]) -> None:
    """Check that trackers exist and are installed, before any work is done.

    Raises:
        InputError: one does not, or is not.
    """
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"--track {name}: there is no such tracker{nearest(name, tuple(TRACKERS))}")
        try:
            importlib.import_module(_PACKAGES[name])
        except ImportError as error:
            needs = f"--track {name} needs the package {name} ({error})"
            raise InputError(f"{needs}; pip install 'zerolabel-vision[{name}]'.") from None


@contextmanager
def _tensorboard(folder: Path, title: str) -> Iterator[Write]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard" / title.replace(" ", "-"))) as writer:

        def write(epoch: int, values: Mapping[str, float]) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, epoch)

        yield write


@contextmanager
def _mlflow(folder: Path, title: str) -> Iterator[Write]:
    from mlflow.tracking import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    own = f"sqlite:///{(folder.absolute() / 'mlflow.db').as_posix()}"
    client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or own)
    found = client.get_experiment_by_name("zerolabel")
    experiment = client.create_experiment("zerolabel") if found is None else found.experiment_id
    run = client.create_run(experiment, run_name=title).info.run_id

    def write(epoch: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            client.log_metric(run, name, value, step=epoch)

    try:
        yield write
    except BaseException:
        client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)


@contextmanager
def _wandb(folder: Path, title: str) -> Iterator[Write]:
    import wandb

    folder.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE", "offline")
    run = wandb.init(
        project="zerolabel", name=title, dir=str(folder), mode=mode, settings=wandb.Settings(silent=True, console="off")
    )
    try:
        yield lambda epoch, values: run.log({"epoch": epoch, **values}, step=epoch)
    finally:
        run.finish()


TRACKERS: dict[str, Callable[[Path, str], AbstractContextManager[Write]]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}
_PACKAGES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow.tracking", "wandb": "wandb"}

__all__ = ["TRACKERS", "check", "scalars", "tracked"]
