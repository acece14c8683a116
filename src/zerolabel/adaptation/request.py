"""Parses and validates the options of an adaptation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zerolabel.adaptation.few_shot import FEW_SHOT, parse_few_shot
from zerolabel.adaptation.methods import METHODS, PUBLISHED, SETTINGS, Method, Published
from zerolabel.adaptation.transduction import parse_solver
from zerolabel.data.views.sources import CROPS
from zerolabel.errors import InputError, nearest
from zerolabel.learners import LEARNERS
from zerolabel.networks.prompted import OF_CLASSES, kinds
from zerolabel.options import one_of
from zerolabel.training.settings import Settings, check_device, make_settings, parse

STARTS = ("words", "random")
"""Initial text tokens: the words of a template, or 16 random ones from N(0, 0.02)."""


@dataclass(frozen=True)
class Request:
    """Validated options of an adaptation.

    Attributes:
        vlm: how the model is named.
        method: one of `zerolabel.adaptation.methods.METHODS`, or a learner.
        tune: what is learned, see `zerolabel.networks.prompted.kinds`.
        hyper_parameters: of the learner, the few-shot method or the solver, over the method's.
        settings: of the training, over the method's.
        flip: whether views may be mirrored.
        propagate: whether scores spread over neighbors (`zerolabel.blocks.label_propagation`) before pseudo-labels are
            chosen; ours, for no paper does.
        open_set: whether images may be of no class, so that the threshold is where confidences part in two groups.
        start: where learned tokens before a text start, see `STARTS`.
        crop: which weak view of pixels, "padding" or "resized", see `zerolabel.data.views.Pixels`.
    """

    vlm: str
    method: str = "grip"
    tune: str | None = None
    hyper_parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    flip: bool = True
    propagate: bool = True
    open_set: bool = False
    start: str = "words"
    crop: str = "padding"

    @classmethod
    def parse(
        cls,
        vlm: str,
        method: str,
        assignments: Sequence[str] = (),
        *,
        tune: str | None = None,
        common: Mapping[str, Any] | None = None,
        flip: bool | None = None,
        propagate: bool = True,
        open_set: bool = False,
        preset: str | None = None,
        start: str | None = None,
        crop: str | None = None,
    ) -> "Request":
        """From what a user says, ``NAME=VALUE`` texts among it.

        Args:
            vlm: how the model is named.
            method: see `Request`.
            assignments: texts such as ``lr=0.1``, over the preset's.
            tune: see `Request`.
            common: settings that are options of their own: ``epochs``, ``seed`` and ``device``; by default the
                method's epochs, 0 and "auto".
            flip: whether views may be mirrored.
            propagate: see `Request`; never with the preset "paper".
            open_set: see `Request`.
            preset: "paper" takes the values of the authors' code, see `zerolabel.adaptation.methods.PUBLISHED`; none
                takes those made here.
            start: see `Request`; none leaves it to the preset.
            crop: see `Request`; none leaves it to the preset.

        Raises:
            InputError: there is no such method, part, option, preset or device.
        """
        common = {name: value for name, value in (common or {}).items() if value is not None}
        epochs, seed, device = common.get("epochs"), common.get("seed", 0), common.get("device", "auto")
        check_device(device)
        mirrored = vlm != "glyphs" if flip is None else flip
        if find(method).learner is None:
            if tune is not None or epochs is not None:
                raise InputError(f"--method {method} learns no prompt by epochs; leave --tune and --epochs out.")
            if (preset, start, crop) != (None, None, None):
                raise InputError(f"--method {method} has no --preset, --start or --crop; leave them out.")
            read = parse_few_shot if method in FEW_SHOT else parse_solver
            options, fixed = read(method, assignments), {"seed": seed, "device": device}
            return cls(vlm, method, None, options, fixed, mirrored, open_set=open_set)
        chosen, paper = parse(cls(vlm, method).learner, assignments), published(method, preset)
        settings = {**paper.settings, **chosen.settings, "seed": seed, "device": device}
        settings |= {"epochs": epochs} if epochs else {}
        request = cls(
            vlm, method, tune, {**paper.hyper_parameters, **chosen.learner}, settings, mirrored,
            propagate and preset is None, open_set, one_of("--start", start or paper.start, STARTS),
            one_of("--crop", crop or paper.crop, CROPS),
        )  # fmt: skip
        kinds(request.tune or "text")
        make_settings(settings)
        return request

    @property
    def row(self) -> Method:
        """The method's line of the table.

        Raises:
            InputError: there is no such method.
        """
        return find(self.method)

    @property
    def learner(self) -> str:
        """Name of the learner.

        Raises:
            InputError: there is no such method, or it trains nothing.
        """
        if self.row.learner is None:
            raise InputError(f"--method {self.method} trains no part of a model; give one that does, such as grip.")
        return self.row.learner

    @property
    def parts(self) -> tuple[str, ...]:
        """The trainable parts.

        Raises:
            InputError: there is no such part.
        """
        return kinds(self.tune or self.row.tune)

    @property
    def on_features(self) -> bool:
        """True if training does not change the image features, so that they are computed once."""
        return set(self.parts) <= {"text", "adapter"} | OF_CLASSES and self.crop == "padding"

    def options(self) -> dict[str, Any]:
        """Hyper-parameters of the learner, the few-shot method or the solver."""
        return {**self.row.hyper_parameters, **self.hyper_parameters}

    def training(self) -> Settings:
        """Settings of the training."""
        return Settings(**{**SETTINGS, **self.row.settings, **self.settings})


def find(name: str) -> Method:
    """The method of that name.

    Raises:
        InputError: there is none.
    """
    if name in METHODS:
        return METHODS[name]
    if name not in LEARNERS:
        raise InputError(f"--method {name}: there is no such method{nearest(name, {**METHODS, **LEARNERS})}")
    return Method(name)


def published(method: str, preset: str | None) -> Published:
    """Values of a preset; empty without one.

    Raises:
        InputError: there is no such preset, or none of this method.
    """
    if preset is None:
        return Published()
    one_of("--preset", preset, ("paper",))
    paper = find(method).published
    if paper is None:
        raise InputError(
            f"--preset paper is there for {', '.join(PUBLISHED)}, not for --method {method}; leave it out."
        )
    return paper
