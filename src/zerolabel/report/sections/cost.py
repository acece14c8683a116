"""Time and cost, and the files that could not be read."""

from zerolabel.report.charts import stacked
from zerolabel.report.formats import count, duration, magnitude, percent, plural
from zerolabel.report.markup import Html, Section, figure, html, join, number, paragraph, table, top_table
from zerolabel.report.run import Run


def section(run: Run) -> Section | None:
    """Seconds per stage and speed of the annotator."""
    seconds = {name: float(value) for name, value in (run.metrics.get("seconds") or {}).items()}
    if not seconds:
        return None
    total = sum(seconds.values())
    rows = [
        (
            html('<span class="swatch p{i}"></span>{name}', i=i % 6, name=name.replace("_", " ")),
            number(duration(value)),
            number(percent(value / (total or 1), 0)),
        )
        for i, (name, value) in enumerate(seconds.items())
    ]
    rows.append((html("<b>all</b>"), number(duration(total)), number("")))
    parts = join(
        [
            stacked(list(seconds.items()), title="Time per stage"),
            table(("Stage", number("Time"), number("Share")), rows, caption="Time per stage"),
        ]
    )
    return Section(
        "cost",
        "Time and cost",
        join(
            [
                figure("Time per stage", parts, _speed(run)),
                paragraph(
                    "Nothing was paid for and no image left this machine, unless the annotator is a remote service."
                ),
            ]
        ),
    )


def _speed(run: Run) -> str:
    rate = run.metrics.get("images_per_second")
    n, m = run.metrics.get("n_images"), run.metrics
    parts = []
    if rate:
        parts.append(
            f"The annotator ({magnitude(m.get('vlm_parameters'))} parameters) read {count(rate)} images per "
            f"second; a million images would take {duration(1e6 / rate)}."
        )
    if n:
        parts.append(f"{count(n)} images in all.")
    return " ".join(parts)


def skipped(run: Run) -> Section | None:
    """Files that took no part."""
    if not run.skipped:
        return None
    intro = f"{plural(len(run.skipped), 'file')} could not be read and were left out."
    rows = list(run.skipped)
    return Section("skipped", "Skipped files", join([paragraph(intro), _files(rows)]))


def _files(rows: list[tuple[str, str]]) -> Html:
    most = 500
    shown = top_table(("File", "Reason"), rows[:most], caption="Skipped files", kind="files")
    return join([shown, paragraph(f"The first {most}; skipped.csv has all.", "note") if len(rows) > most else ""])
