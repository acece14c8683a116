"""The command that simulates annotators, for research."""

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated as Arg

import typer

from zerolabel.cli.annotation import AnnotationsOutOpt, OverwriteFileOpt
from zerolabel.cli.arguments import (
    ClassesOpt,
    EngineOpt,
    FlipOpt,
    ImagesArg,
    JsonOpt,
    RayAddressOpt,
    SeedOpt,
    SizeOpt,
    engine_of,
)
from zerolabel.cli.screen import say, show

if TYPE_CHECKING:
    from torch import Tensor

    from zerolabel.annotations import Annotations
    from zerolabel.data.classes import Classes
    from zerolabel.data.images import ImageSet


def simulate(
    images: ImagesArg,
    classes: ClassesOpt,
    output: AnnotationsOutOpt,
    truth: Arg[
        str, typer.Option(help="True labels to simulate from: a CSV of file_name,label or a folder class/image.")
    ],
    kind: Arg[str, typer.Option(help="uniform (random sets), class (confusion matrix) or instance (weak networks).")],
    q: Arg[float, typer.Option("--q", help="uniform: probability that a wrong class joins a set.")] = 0.1,
    eta: Arg[float, typer.Option(help="uniform: probability that the true class leaves its set.")] = 0.0,
    accuracy: Arg[float, typer.Option(help="class: probability that a vote is right.")] = 0.65,
    confusion: Arg[
        Path | None, typer.Option(help="class: CSV of a C x C confusion matrix, a row per true class.")
    ] = None,
    annotators: Arg[int, typer.Option(min=1, help="class, instance: number of annotators.")] = 5,
    labeled: Arg[int, typer.Option(min=1, help="instance: labeled images per class of a network.")] = 10,
    epochs: Arg[int, typer.Option(min=1, help="instance: epochs of each network.")] = 30,
    ratio: Arg[float | None, typer.Option(help="Long-tailed pool: largest class to smallest.")] = None,
    size: SizeOpt = None,
    flip: FlipOpt = None,
    seed: SeedOpt = 0,
    engine: EngineOpt = "local",
    ray_address: RayAddressOpt = None,
    overwrite: OverwriteFileOpt = False,
    as_json: JsonOpt = False,
) -> None:
    """Simulate annotators from true labels; for research."""
    import shutil
    from tempfile import TemporaryDirectory

    from zerolabel.annotate.cluster import parse_engine
    from zerolabel.annotations.files import place_for, write_annotations
    from zerolabel.data.classes import load_classes
    from zerolabel.data.images import ImageSet, pixels
    from zerolabel.experiments.simulation import Weak, check_kind, read_confusion
    from zerolabel.experiments.simulation import simulate as make
    from zerolabel.runs.planning import choose_size

    check_kind(kind)
    where = engine_of(engine, ray_address)
    parse_engine(where)
    file, names, found = place_for(output, overwrite=overwrite), load_classes(classes), ImageSet.open(images)
    found, labels = labeled_images(found, names, truth, ratio)
    kept = file.with_suffix(".networks")
    weak = Weak(annotators, labeled, epochs, engine=where, kept=kept)
    matrix = None if confusion is None else read_confusion(confusion, len(names))
    with TemporaryDirectory() as folder:
        side = size or choose_size(found)
        rows = pixels(found, side, Path(folder) / "pixels.npy") if kind == "instance" else None
        made = make(
            found, labels, names.names, kind, seed=seed, q=q, eta=eta, accuracy=accuracy, confusion=matrix,
            weak=weak, pixels=rows, flip=flip is not False,
        )  # fmt: skip
    write_annotations(made, file, overwrite=overwrite)
    shutil.rmtree(kept, ignore_errors=True)
    facts = {"n_images": len(made), "n_annotators": len(made.annotators), "kind": kind, "file": str(file)}
    tell(facts | statistics(made, labels), as_json)


def statistics(made: "Annotations", labels: "Tensor") -> dict[str, float]:
    """Sizes of candidate sets, how often the true class is in them, and accuracy of the scores."""
    from zerolabel.diagnostics.agreement import mean_candidates
    from zerolabel.evaluation.metrics import accuracy, candidate_coverage

    return {
        "mean_candidates": mean_candidates(made.candidates),
        "coverage": candidate_coverage(made.candidates, labels),
        "accuracy": accuracy(made.scores.argmax(1), labels),
    }


def tell(facts: dict[str, object], as_json: bool) -> None:
    """Print what was made, as a table or as JSON."""
    from zerolabel.cli import planned

    rows = [(name.replace("_", " "), f"{v:.4g}" if isinstance(v, float) else str(v)) for name, v in facts.items()]
    show(planned.pairs(rows), facts, as_json)


def labeled_images(found: "ImageSet", names: "Classes", truth: str, ratio: float | None) -> "tuple[ImageSet, Tensor]":
    """The images with a true label, and their labels; with a ratio, a long-tailed part of them."""
    from zerolabel.data.label_files import Labels, places_known
    from zerolabel.experiments.simulation import Images, long_tailed

    labels = Labels.read(truth, names).match(found.file_names, Images.read(found).sha256)
    known = places_known(labels, truth)
    if len(known) < len(found):
        say("[yellow]note:[/]", f"{len(found) - len(known)} images without a true label are left out.")
    if ratio is not None:
        known = known[long_tailed(labels[known], len(names), ratio)]
    return found.select(known), labels[known]
