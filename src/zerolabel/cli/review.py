"""The command that lets a person look."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated as Arg

import typer

from zerolabel.cli.screen import say
from zerolabel.cli.stopping import Stopped
from zerolabel.errors import InputError

if TYPE_CHECKING:
    from zerolabel.review import Review


def review(
    path: Arg[Path, typer.Argument(help="Folder of a run, annotations or a comparison; or a table of predictions.")],
    n: Arg[
        int | None,
        typer.Option("--n", "-n", min=1, help="Images drawn at random to measure the accuracy; 50, or as before."),
    ] = None,
    images: Arg[str | None, typer.Option(help="Folder or list of the images, where they lie elsewhere now.")] = None,
    classes: Arg[str | None, typer.Option("--classes", "-c", help="All class names, for a table.")] = None,
    method: Arg[str | None, typer.Option(help="Which one of a comparison; else the first.")] = None,
    reviewer: Arg[
        list[str] | None, typer.Option(help="Name of who answers; repeatable, each gets an address.")
    ] = None,
    static: Arg[
        Path | None, typer.Option(help="Write one HTML file that needs no server; it gives its answers as a CSV.")
    ] = None,
    take_in: Arg[
        list[Path] | None, typer.Option("--import", help="Answers to take in, as of --static; then end. Repeatable.")
    ] = None,
    export: Arg[
        Path | None, typer.Option(help="Write all answers to this CSV or parquet file; then end.")
    ] = None,
    port: Arg[int, typer.Option(min=0, max=65535, help="Of this machine; 0 takes a free one.")] = 0,
    browser: Arg[bool, typer.Option("--open", help="Open the page in the browser of this machine.")] = False,
    seed: Arg[int, typer.Option(help="Of the order of the images.")] = 0,
) -> None:  # fmt: skip
    """Check a few images in the browser: a measured accuracy, and labels for the next training."""
    from zerolabel.review import Review, finish, open_subject
    from zerolabel.review.static import write_static
    from zerolabel.runs.inference import write_table

    names = list(dict.fromkeys(name.strip() for name in reviewer or [] if name.strip())) or [getpass.getuser()]
    made = Review(open_subject(path, images, classes, method), n=n, seed=seed)
    for file in take_in or ():
        say("review:", f"{made.ledger.take_in(file)} new answers from {file}")
    if static is not None:
        write_static(made, static, names[0])
        say("review:", f"open {static} in a browser; take its answers in with --import")
    if export is not None:
        write_table(made.ledger.table(), export)
    if take_in:
        print(finish(made))
    if not take_in and static is None and export is None:
        _serve(made, names, port, browser)
        print(finish(made))


def _serve(made: "Review", names: list[str], port: int, browser: bool) -> None:
    """Serve the page until it is interrupted."""
    import webbrowser

    from zerolabel.review import finish

    try:
        from zerolabel.review.server import addresses, application, listen, serve
    except ImportError:
        raise InputError(
            "the page needs two more packages; pip install 'zerolabel-vision[review]', or give --static."
        ) from None
    listening = listen(port)
    port = listening.getsockname()[1]
    reviewers, urls = addresses(names, port)
    for name, url in zip(names, urls, strict=True):
        print(f"{name}: {url}", flush=True)
    say("review:", "each address opens in one browser; Ctrl-C ends and writes what was measured")
    if browser:
        webbrowser.open(urls[0])
    try:
        serve(application(made, lambda: finish(made), reviewers, port), listening)
    except Stopped as stop:
        if stop.code != 130:
            raise


__all__ = ["review"]
