"""The command that labels all images together."""

from typing import Annotated as Arg

import typer

from zerolabel.cli.annotation import AnnotationsOutOpt, OverwriteFileOpt
from zerolabel.cli.arguments import (
    CacheOpt,
    ClassesOpt,
    DeviceOpt,
    ImagesArg,
    JsonOpt,
    TemplatesOpt,
    WeightsOpt,
)
from zerolabel.cli.screen import display, show


def transduce(
    images: ImagesArg,
    classes: ClassesOpt,
    output: AnnotationsOutOpt,
    vlm: Arg[
        str | None, typer.Option(help="glyphs, open_clip:ARCH/PRETRAINED, open_clip:FOLDER or hf-hub:ORG/NAME.")
    ] = None,
    templates: TemplatesOpt = None,
    method: Arg[str, typer.Option(help="Solver; `zerolabel methods` lists them.")] = "stata",
    options: Arg[list[str] | None, typer.Option("--set", help="NAME=VALUE of the solver; repeatable.")] = None,
    candidates: Arg[
        str,
        typer.Option(
            help="Candidate rule: of the solver's scores mass:M, topk:K, ratio:R or quantile:A,B; of the votes union."
        ),
    ] = "mass:0.9",
    prompt_weights: WeightsOpt = None,
    device: DeviceOpt = "auto",
    cache: CacheOpt = None,
    overwrite: OverwriteFileOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Annotate with a training-free transductive method that uses all images jointly."""
    from functools import partial

    from zerolabel import vlms
    from zerolabel.adaptation.transduce import transduce
    from zerolabel.adaptation.transduction import parse_solver
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.annotations.candidates import parse_rule
    from zerolabel.annotations.files import place_for, write_annotations
    from zerolabel.cli import tables
    from zerolabel.data.classes import load_classes
    from zerolabel.data.images import ImageSet
    from zerolabel.files.skipped import save_skipped
    from zerolabel.options import one_of
    from zerolabel.runs.planning.annotation import WEIGHTS
    from zerolabel.training import best_device
    from zerolabel.training.settings import check_device
    from zerolabel.vlms.names import reads_characters

    chosen = parse_solver(method, options or ())
    parse_rule(candidates)
    check_device(device)
    file = place_for(output, overwrite=overwrite)
    found, names = ImageSet.open(images), load_classes(classes)
    model = vlm or vlms.default_name(found)
    asked = vlms.templates(model, templates)
    encoder = vlms.load(model, best_device(device))
    wanted = one_of("--prompt-weights", prompt_weights, (None, *WEIGHTS)) or WEIGHTS[0]
    weights = "uniform" if reads_characters(model) else wanted
    done = transduce(
        found, encoder, names, asked, method, chosen, rule=candidates, weights=weights,
        cache=default_folder(cache), progress=partial(display(), "annotate"),
    )  # fmt: skip
    write_annotations(done.annotations, file, overwrite=overwrite)
    save_skipped(file.parent, done.skipped, empty=False)
    show(*tables.transduced(done, method, file), as_json)
