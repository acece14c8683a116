"""The options of the run."""

from zerolabel.report import statement
from zerolabel.report.licenses import license
from zerolabel.report.markup import TOP, Html, Section, bullets, code, details, figure, html, join, paragraph, table
from zerolabel.report.run import Run


def section(run: Run) -> Section:
    """Request in words, settings, and the command that reproduces the run."""
    command = statement.command(run)
    parts = [
        _classes(run.classes),
        figure("Settings", table(("Setting", "Value"), _settings(run), caption="Settings", kind="settings")),
        paragraph("Command to reproduce this run:") if command else "",
        code(command) if command else "",
        _hyper_parameters(run),
    ]
    return Section("asked", "Setup", join(parts))


def _classes(names: tuple[str, ...]) -> Html:
    first = html("<p>Classes: {names}</p>", names=join((html("<b>{n}</b>", n=n) for n in names[:TOP]), ", "))
    if len(names) <= TOP:
        return first
    return join([first, details(f"{len(names) - TOP:,} more classes", bullets(names[TOP:]))])


def _settings(run: Run) -> list[tuple[object, object]]:
    config = run.config
    models = [f"{model}, license: {license(model)}" for model in config.get("vlm", ())]
    known = (
        ("Images", config.get("images")),
        ("Held-out images", config.get("test_images")),
        ("Annotator" if len(models) == 1 else "Annotators", "; ".join(models)),
        ("Beside", statement.vision(run)),
        ("Candidate rule", statement.rule(run)),
        ("Learner", config.get("learner")),
        ("Student", statement.student(run)),
        ("Score propagation (k-NN graph)", "yes" if config.get("propagate") else "no"),
        ("Epochs", run.setting("epochs") or len(run.log) or None),
        ("Seed", run.setting("seed")),
        ("True labels, for evaluation only", config.get("truth") or "none"),
        ("Made", config.get("created")),
        ("zerolabel", config.get("zerolabel")),
    )
    return [(name, value) for name, value in known if value not in (None, "")]


def _hyper_parameters(run: Run) -> Html:
    values = {**(run.config.get("hyper_parameters") or {}), **(run.config.get("settings") or {})}
    if not values:
        return Html("")
    rows = [(html("<code>{n}</code>", n=name), value) for name, value in values.items()]
    return details("Hyper-parameters and training settings", table(("Name", "Value"), rows, caption="Hyper-parameters"))
