"""The command that goes from answers to the next training, round by round."""

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated as Arg

import typer

from zerolabel.cli.arguments import CacheOpt, JsonOpt, OutOpt
from zerolabel.cli.screen import display, say, show

if TYPE_CHECKING:
    from zerolabel.review import Review


def improve(
    run: Arg[Path, typer.Argument(help="Folder of a finished run.")],
    output: OutOpt,
    rounds: Arg[int, typer.Option(min=1, help="Total number of rounds, including finished ones.")] = 1,
    n: Arg[int, typer.Option("--n", "-n", min=1, help="Images to label per round, chosen to help training.")] = 50,
    check: Arg[int, typer.Option(min=1, help="Size of the random sample that measures every round.")] = 50,
    changed: Arg[
        int, typer.Option(min=0, help="Most images to label where two rounds disagree, to decide which is better.")
    ] = 20,
    answers: Arg[
        Path | None, typer.Option(help="CSV of file_name,label that answers instead of a person.")
    ] = None,
    reviewer: Arg[str | None, typer.Option(help="Name of the reviewer; by default the user name.")] = None,
    port: Arg[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 for any free one.")] = 0,
    browser: Arg[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    seed: Arg[int, typer.Option(help="Random seed of the sampled images.")] = 0,
    cache: CacheOpt = None,
    as_json: JsonOpt = False,
) -> None:  # fmt: skip
    """Ask for labels, train on them and measure the gain, in rounds; each round has its own folder."""
    import json

    from zerolabel.annotate.feature_cache import default_folder
    from zerolabel.cli import improved
    from zerolabel.runs.improvement import RECORD, Improvement, Plan

    plan = Plan(check, n, changed)
    made = Improvement(run, output, plan, cache=default_folder(cache), progress=display(), seed=seed)
    asking = _Asking(answers, reviewer, port, browser)
    while len(made.rounds) <= rounds:
        review = made.questions()
        asking(review, f"Train round {len(made.rounds)}")
        made.record(review)
        done = made.train(review)
        say(f"round {done.number}:", improved.in_words(done))
    review = made.questions(teach=False)
    if review.open_kinds:
        asking(review, "Finish")
    made.record(review)
    record = json.loads((output / RECORD).read_text(encoding="utf-8"))
    show(improved.table(made.rounds, made.best), record, as_json)


class _Asking:
    """Asks the questions of a review: a file of labels, or a person in the browser at one address for all rounds."""

    def __init__(self, answers: Path | None, reviewer: str | None, port: int, browser: bool) -> None:
        self.answers, self.reviewer, self.port, self.browser = answers, reviewer, port, browser
        self.reviewers: dict[str, str] = {}

    def __call__(self, review: "Review", finishing: str) -> None:
        from zerolabel.cli.review import answer_all

        if self.answers is not None:
            answer_all(review, self.answers, ("compare", "measure", *review.questions), reviewer=self.reviewer)
        elif review.open_kinds:
            self._in_browser(review, finishing)

    def _in_browser(self, review: "Review", finishing: str) -> None:
        import webbrowser
        from threading import Event

        from zerolabel.cli.review import current_user, page_server

        server, end = page_server(), Event()
        listening = server.listen(self.port)
        self.port = listening.getsockname()[1]
        if not self.reviewers:
            self.reviewers, urls = server.addresses([self.reviewer or current_user()], self.port)
            print(urls[0], flush=True)
            if self.browser:
                webbrowser.open(urls[0])
        say("improve:", f"asks in the browser; “{finishing}” on the page continues")

        def finish() -> str:
            end.set()
            return (
                "Training; the next questions open here." if review.questions else "Done; the rounds are on the page."
            )

        server.serve(server.application(review, finish, self.reviewers, self.port, finishing), listening, end)


__all__ = ["improve"]
