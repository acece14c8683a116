"""Images with their votes and predictions."""

from typing import Any

import pandas as pd

from zerolabel.report.formats import percent
from zerolabel.report.markup import Html, html, join
from zerolabel.report.run import Run
from zerolabel.report.thumbnails import thumbnail

ROOMY = 12


def gallery(run: Run, rows: pd.DataFrame, *, change: bool) -> Html:
    """Images side by side; wider cells where the class names are long.

    Args:
        run: the run.
        rows: some of its predictions.
        change: whether to show zero-shot's answers too.
    """
    kind = "gallery roomy" if max(map(len, run.classes), default=0) > ROOMY else "gallery"
    cards = join(card(run, row, change=change) for row in rows.itertuples(index=False))
    return html('<ul class="{kind}">{cards}</ul>', kind=kind, cards=cards)


def card(run: Run, row: Any, *, change: bool) -> Html:
    """A thumbnail with its file's name, the answers and the student's confidence.

    Args:
        run: the run.
        row: a row of its predictions, as `DataFrame.itertuples` gives it.
        change: whether to show zero-shot's answer too.
    """
    before = html('<span class="was">{zero}</span> → ', zero=row.zero_shot) if change else ""
    alt = f"{row.file_name}: {row.zero_shot} became {row.student}" if change else f"{row.file_name}: {row.student}"
    return html(
        (
            '<li>{image}<div>{before}<b>{student}</b> <span class="sure">{sure}</span><small '
            'title="{file}">{file}</small></div></li>'
        ),
        image=thumbnail(run.image(row.file_name, row.set), alt),
        before=before,
        student=row.student,
        sure=percent(row.student_confidence, 0),
        file=row.file_name,
    )
