"""A student and epochs that fit into the time that the user has, by the forecast of `zerolabel.runs.cost`.

Students are tried from the dearest to the cheapest; the first is taken that has at least a third of its epochs in the
time. If even the cheapest has not, it gets the epochs that fit. Training then keeps to the time by itself: see
`zerolabel.training.pace`.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from zerolabel.data.images import ImageSet
from zerolabel.errors import InputError
from zerolabel.runs.config import HEADS, OWN_STUDENTS, Config
from zerolabel.runs.cost import Forecast, duration, forecast, this_machine, training
from zerolabel.runs.planning.size import SIZES
from zerolabel.runs.request import Request

AUTO = 600.0
"""Seconds of training with ``--time auto``."""
LEAST, MOST = 30.0, 30 * 86_400.0
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
ENOUGH = 3
"""A student is taken if the time is enough for its epochs divided by this."""
FEWEST_EPOCHS = 3


def parse_time(text: str) -> float | None:
    """Seconds of a time such as "20m" or "1h30m"; None for "auto".

    Raises:
        InputError: it is no time, or out of range.

    Example:
        >>> parse_time("20m"), parse_time("1h30m"), parse_time("auto")
        (1200.0, 5400.0, None)
    """
    if text == "auto":
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(min|[smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise InputError(f"--time {text}: give a time such as 20m, 90s or 1h30m, or auto.")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not LEAST <= seconds <= MOST:
        raise InputError(f"--time {text} is out of range; give a time from 30s to 30d.")
    return seconds


def within(config: Config, request: Request, images: ImageSet) -> Config:
    """The configuration with a student, a size and epochs that fit into ``--time``.

    Args:
        config: as it would be without a limit.
        request: what the user said, which is not changed.
        images: of the run.

    Raises:
        InputError: the time is none, or too short for what is not training.
    """
    asked = str(request.time)
    seconds, expected = parse_time(asked), forecast(config)
    if expected.total is None:
        limited = replace(config.training, time=seconds, asked_time=asked)
        why = f"; --time {asked}: epochs are left out where it is short, since {expected.why_unknown}"
        return replace(config, training=limited, preset=config.preset + why)
    said, fitted, fixed = says_epochs(request), config, 0.0
    tried: list[Config] = []
    for rung in ladder(config, request):
        tried.append(rung)
        fixed = other_than_training(forecast(rung))
        room = AUTO if seconds is None else seconds - fixed
        fitted = rung if said else with_epochs(rung, most_epochs(rung, images, room))
        fits = training_seconds(fitted, images) <= room
        if fits and ENOUGH * fitted.training.settings["epochs"] >= rung.training.settings["epochs"]:
            break
    least = fixed + training_seconds(fitted, images)
    if seconds is not None and least > seconds and not said:
        raise InputError(
            f"--time {asked} is too short: everything but training takes about {duration(fixed)} on this machine; "
            f"give at least {math.ceil(least)}s."
        )
    limited = replace(fitted.training, time=fixed + AUTO if seconds is None else seconds, asked_time=asked)
    why = f"; --time {asked}{' (about ten minutes of training)' if seconds is None else ''}"
    return replace(fitted, training=limited, preset=config.preset + why + more(fitted, tried, config))


def says_epochs(request: Request) -> bool:
    """True if the user gave a number of epochs."""
    return request.epochs is not None or any(one.startswith("epochs=") for one in request.options)


def ladder(config: Config, request: Request) -> Iterator[Config]:
    """Configurations with other students, the dearest first; with that of the user alone where one was named."""
    chosen = config.training
    if request.student is not None or chosen.student in HEADS or request.preset == "paper":
        yield config
        return
    cheaper = [("resnet18", size) for size in (224, 128, 64) if size <= chosen.size and chosen.size > 96]
    cheaper = [one for one in (*cheaper, ("light", 32)) if not request.size or one[1] == chosen.size]
    for student, size in dict.fromkeys([(chosen.student, chosen.size), *cheaper]):
        pretrained = chosen.pretrained if request.pretrained is not None else student not in OWN_STUDENTS
        yield replace(config, training=replace(chosen, student=student, size=size, pretrained=pretrained))
    if request.via is None and chosen.via is not None and not request.size:
        yield replace(config, training=replace(chosen, student="mlp", size=SIZES[-1], via=None, pretrained=False))


def most_epochs(config: Config, images: ImageSet, room: float) -> int:
    """The most epochs, up to those of the configuration, whose training takes no longer than so many seconds."""
    low, high = FEWEST_EPOCHS, max(int(config.training.settings["epochs"]), FEWEST_EPOCHS)
    while low < high:
        middle = (low + high + 1) // 2
        if training_seconds(with_epochs(config, middle), images) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def with_epochs(config: Config, epochs: int) -> Config:
    """The configuration with other epochs; a warm-up keeps its share of them."""
    chosen = config.training
    before, warm_up = chosen.settings["epochs"], chosen.hyper_parameters.get("warm_up")
    hyper = dict(chosen.hyper_parameters)
    if isinstance(warm_up, int):
        hyper["warm_up"] = round(warm_up * epochs / before)
    settings = {**chosen.settings, "epochs": epochs}
    return replace(config, training=replace(chosen, hyper_parameters=hyper, settings=settings))


def training_seconds(config: Config, images: ImageSet) -> float:
    """Forecast of the training alone."""
    stages = training(config.training, images, this_machine(config.training.device))
    return sum(each or 0.0 for each in stages.values())


def other_than_training(told: Forecast) -> float:
    """Forecast of everything else."""
    return sum(each or 0.0 for stage, each in told.seconds.items() if not stage.startswith("train"))


def more(fitted: Config, tried: list[Config], whole: Config) -> str:
    """The gain of more time, as the end of a sentence."""
    chosen = fitted.training
    if chosen.settings["epochs"] < whole.training.settings["epochs"]:
        same = tried[-1]
        return f"; in about {duration(forecast(same).total or 0.0)} all {same.training.settings['epochs']} epochs"
    if len(tried) > 1:
        best = tried[-2]
        what = f"{best.training.student} at {best.training.size} pixels"
        return f"; in about {duration(forecast(best).total or 0.0)} {what}"
    return "; more time would buy nothing that is known to be better"


def as_begun(config: Config, stored: Config) -> Config:
    """The configuration of a run that is resumed under the same ``--time``: what was chosen at its start stays.

    The choice depends on the speed that the machine had then.
    """
    now, then = config.training, stored.training
    if now.asked_time is None or now.asked_time != then.asked_time:
        return config
    hyper = now.hyper_parameters
    if "warm_up" in hyper and "warm_up" in then.hyper_parameters:
        hyper = {**hyper, "warm_up": then.hyper_parameters["warm_up"]}
    kept = {name: getattr(then, name) for name in ("student", "size", "pretrained", "via", "time")}
    settings = {**now.settings, "epochs": then.settings["epochs"]}
    return replace(
        config, training=replace(now, hyper_parameters=hyper, settings=settings, **kept), preset=stored.preset
    )


__all__ = ["as_begun", "parse_time", "within"]
