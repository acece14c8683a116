"""The classifier: its size, whether its exported form agrees, how to use it."""

from zerolabel.report import speed
from zerolabel.report.formats import magnitude, percent, short, size
from zerolabel.report.markup import Html, Section, code, figure, grid, html, join, number, paragraph, table
from zerolabel.report.run import Run
from zerolabel.report.statement import PYTHON, SHELL


def section(run: Run) -> Section | None:
    """Files, parameters, parity and a way to predict."""
    rows = _rows(run)
    if not rows:
        return None
    facts = figure("Facts", table(("Property", number("Value")), rows, caption="The classifier"))
    body = grid(
        [
            facts,
            figure(
                "How to predict", join([code(SHELL), paragraph("The same in Python, with zerolabel:"), code(PYTHON)])
            ),
        ]
    )
    timed = speed.rows(run)
    if timed:
        cells = [(row[0], *map(number, row[1:])) for row in timed]
        head = ("", *map(number, speed.head(run)[1:]))
        timing = table(head, cells, caption="Latency and size")
        shown = figure("Latency and size", join([timing, paragraph(speed.note(run))]))
        body = join([body, shown])
    return Section("artifact", "The classifier", body)


def files(run: Run) -> list[tuple[str, int]]:
    """Name and size in bytes of the artifact's parts that exist."""
    found = []
    for name in ("classifier.onnx", "classifier"):
        path = run.folder / name
        if path.is_file():
            found.append((name, path.stat().st_size))
        elif path.is_dir():
            found.append((f"{name}/", sum(part.stat().st_size for part in path.rglob("*") if part.is_file())))
    return found


def _rows(run: Run) -> list[tuple[object, Html]]:
    m, onnx = run.metrics, run.metrics.get("onnx") or {}
    rows: list[tuple[object, Html]] = [(html("<code>{n}</code>", n=name), number(size(n))) for name, n in files(run)]
    if m.get("student_parameters") is not None:
        rows.append(("Parameters", number(magnitude(m["student_parameters"]))))
        if m.get("vlm_parameters"):
            rows.append(("Parameters of the annotator, for comparison", number(magnitude(m["vlm_parameters"]))))
    if onnx.get("max_difference") is not None:
        rows.append(
            ("Largest difference between ONNX and torch, in probability", number(short(onnx["max_difference"])))
        )
    if onnx.get("agreement") is not None:
        rows.append(("Same class from ONNX and torch", number(percent(onnx["agreement"], 2))))
    if m.get("temperature") is not None:
        rows.append(("Temperature", number(short(m["temperature"]))))
    if m.get("threshold") is not None:
        rows.append(("Threshold below which it may abstain", number(percent(m["threshold"]))))
    return rows
