"""The command that lets a person look."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import CacheOpt
from zerolabel.cli.screen import say
from zerolabel.cli.stopping import Stopped
from zerolabel.errors import InputError

if TYPE_CHECKING:
    from zerolabel.review import Review


def current_user() -> str:
    """Name of the user, the default reviewer."""
    from getpass import getuser

    return getuser()


def review(
    path: Arg[Path, typer.Argument(help="A run, annotations, a comparison, or a table of predictions.")],
    n: Arg[
        int | None,
        typer.Option("--n", "-n", min=1, help="Random images that measure accuracy (default 50, or as before)."),
    ] = None,
    images: Arg[str | None, typer.Option(help="Folder or list of the images, if moved.")] = None,
    classes: Arg[str | None, typer.Option("--classes", "-c", help="Class names, for a table of predictions.")] = None,
    method: Arg[str | None, typer.Option(help="Learner of a comparison to review; by default the first.")] = None,
    reviewer: Arg[
        list[str] | None, typer.Option(help="Name of a reviewer; repeatable, each gets a URL.")
    ] = None,
    static: Arg[
        Path | None, typer.Option(help="Write one HTML file that needs no server; its answers are downloaded as a CSV.")
    ] = None,
    take_in: Arg[
        list[Path] | None,
        typer.Option("--import", help="Import answers of a CSV, Label Studio or FiftyOne, and stop; repeatable."),
    ] = None,
    export: Arg[
        Path | None, typer.Option(help="Write all answers to this CSV or parquet file, and stop.")
    ] = None,
    port: Arg[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 for any free one.")] = 0,
    browser: Arg[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    seed: Arg[int, typer.Option(help="Random seed of the order of the images.")] = 0,
    max_error: Arg[
        str | None,
        typer.Option(help="Largest share of wrong labels allowed, such as 5%: ask which images need a label."),
    ] = None,
    answers: Arg[
        Path | None, typer.Option(help="CSV of file_name,label that answers instead of a person, and stop.")
    ] = None,
    question: Arg[
        list[str] | None,
        typer.Option(
            help="Question that --answers answers: measure, compare, choose, guarantee, teach or unknown; repeatable."
        ),
    ] = None,
    cache: CacheOpt = None,
) -> None:  # fmt: skip
    """Answer questions about a few images in the browser: measure accuracy, choose a learner, or label to train."""
    from zerolabel.review import Review, open_subject
    from zerolabel.review.static import write_static

    names = list(dict.fromkeys(name.strip() for name in reviewer or [] if name.strip())) or [current_user()]
    limit = None if max_error is None else share(max_error)
    made = Review(open_subject(path, images, classes, method), n=n, seed=seed, max_error=limit)
    import_answers(made, take_in or ())
    if answers is not None:
        answer_all(made, answers, question or (), reviewer=names[0] if reviewer else None)
    if static is not None:
        write_static(made, static, names[0])
        say("review:", f"open {static} in a browser; take its answers in with --import")
    if export is not None:
        export_answers(made, export)
    if take_in or answers is not None:
        print(finished(made, cache))
    elif static is None and export is None:
        serve_page(made, names, port, browser, lambda: finished(made, cache))


def share(text: str) -> float:
    """A share that may be written as a percentage.

    Raises:
        InputError: it is no share between 0 and 1.
    """
    try:
        value = float(text.strip().removesuffix("%")) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise InputError(f"--max-error {text} is no share; give a number such as 5% or 0.05.")
    return value


def answer_all(made: "Review", file: Path, wanted: Sequence[str], reviewer: str | None = None) -> None:
    """Answer questions from a file of labels, by default the first one that the page would show."""
    from zerolabel.review.answering import REVIEWER, answer_from, read_labels

    kinds = made.kinds(wanted)
    for kind, answered in answer_from(read_labels(file, made), made, kinds, reviewer or REVIEWER).items():
        missing = made.following(kind)
        told = "" if missing is None else f"; {file} has no label of {made.pool(kind).images.file_names[missing]}"
        say("review:", f"{kind}: {answered} {'answer' if answered == 1 else 'answers'}{told}")


def import_answers(made: "Review", files: Sequence[Path]) -> None:
    """Add the answers of files to those of a review."""
    pools = (made.subject.measured, made.subject.learned)
    known = tuple(dict.fromkeys(name for pool in pools for name in pool.images.file_names))
    for file in files:
        say("review:", f"{made.ledger.take_in(file, known)} new answers from {file}")


def export_answers(made: "Review", path: Path) -> None:
    """Write the answers, or the finished labels where a guarantee was asked for."""
    from zerolabel.review.finished_labels import finished_labels
    from zerolabel.runs.inference import write_table

    write_table(made.ledger.table() if "guarantee" not in made.questions else finished_labels(made), path)


def finished(made: "Review", cache: Path | None) -> str:
    """Write what was measured, and let it decide what is deployed and in which order learners stand."""
    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.review import finish

    told = [finish(made)]
    if made.subject.run is not None and made.measured is not None:
        from zerolabel.runs.redeployment import settle

        told.append(settle(made.subject.run, default_folder(cache)) or "")
    if made.subject.rivals and (made.subject.path / "results.parquet").is_file():
        from zerolabel.experiments import write_page

        told.append(f"The order is in {write_page(made.subject.path)}.")
    return " ".join(text[:1].upper() + text[1:] for text in told if text)


def page_server() -> ModuleType:
    """The module that serves the page.

    Raises:
        InputError: its packages are not installed.
    """
    try:
        from zerolabel.review import server
    except ImportError:
        raise InputError(
            "the page needs two more packages; pip install 'zerolabel-vision[review]', or give --static or --answers."
        ) from None
    return server


def serve_page(made: "Review", names: Sequence[str], port: int, browser: bool, finish: Callable[[], str]) -> None:
    """Serve the page until it is interrupted, then write what was measured."""
    import webbrowser

    server = page_server()
    listening = server.listen(port)
    port = listening.getsockname()[1]
    reviewers, urls = server.addresses(names, port)
    for name, url in zip(names, urls, strict=True):
        print(f"{name}: {url}", flush=True)
    say("review:", "each address opens in one browser; Ctrl-C ends and writes what was measured")
    if browser:
        webbrowser.open(urls[0])
    try:
        server.serve(server.application(made, finish, reviewers, port), listening)
    except Stopped as stop:
        if stop.code != 130:
            raise
    print(finish())


__all__ = ["review"]
