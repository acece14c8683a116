"""The answer first: is the student any good, as far as that can be said?"""

from zerolabel.report.formats import count, duration, percent
from zerolabel.report.intervals import separable, wilson
from zerolabel.report.markup import Html, Section, html, join, paragraph, tiles
from zerolabel.report.reviewed import interval, sentences
from zerolabel.report.run import Run
from zerolabel.report.sections import verdict
from zerolabel.report.statement import measured_on


def section(run: Run) -> Section:
    """Measured accuracy where truth was given; otherwise what can be known without."""
    if not run.finished:
        text = (
            "This run has not finished. The page shows what is there; the same command with --resume continues from it."
        )
        return Section("result", "Result", paragraph(text, "warning bad"))
    body = _with_truth(run) if run.has_truth else _without_truth(run)
    return Section("result", "Result", join([verdict.stranger(run), body, _warnings(run), verdict.compared(run)]))


def _with_truth(run: Run) -> Html:
    m = run.metrics
    student, zero_shot, n = m["student_accuracy"], m.get("zero_shot_accuracy"), m.get("n_evaluated")
    facts = [("student", percent(student), "Student accuracy", _interval(student, n))]
    if zero_shot is not None:
        facts.append(("zero", percent(zero_shot), f"{run.before_title} accuracy", _interval(zero_shot, n)))
        if zero_shot < 1:
            ratio = (1 - student) / (1 - zero_shot)
            tone = "good" if ratio < 1 else "bad"
            facts.append((tone, percent(ratio, 0), "Error ratio", f"student's errors as a share of {run.before}'s"))
    facts += _costs(run)
    checked = [paragraph(text)] if (text := sentences(run)) else []
    return join(
        [paragraph(_verdict(run, student, zero_shot, n), "lead"), *checked, verdict.deployed(run), tiles(facts)]
    )


def _verdict(run: Run, student: float, zero_shot: float | None, n: int | None) -> Html:
    lead = html("Accuracy of the student on {on}: <b>{share}</b>", on=measured_on(run), share=percent(student))
    if zero_shot is None:
        return html("{lead}.", lead=lead)
    who = "annotator" if run.imported else "prompt"
    both = html("{lead}; of the {who} ensemble, without training: {zero}.", lead=lead, who=who, zero=percent(zero_shot))
    sure = bool(n) and separable(student, zero_shot, int(n or 0))
    if student <= zero_shot:
        instead = "votes" if run.imported else "zero-shot predictions"
        end = f"Training did not help here: use the {instead}, or see the candidates below for the reason."
    elif not sure:
        end = "The difference is not statistically significant on this many images."
    else:
        end = "The difference is statistically significant."
    return html("{both} {end}", both=both, end=end)


def _without_truth(run: Run) -> Html:
    agreement = _agreement_with_zero_shot(run)
    m, shown = run.metrics, run.shown
    facts = verdict.estimate(run)
    if agreement is not None:
        facts.append(("student", percent(agreement), f"Student agrees with {run.before}", f"on {run.shown_name}"))
    if m.get("student_agreement") is not None:
        facts.append(("plain", percent(m["student_agreement"]), "The two networks agree", "trained together"))
    if len(shown):
        mean = float(shown["student_confidence"].mean())
        facts.append(("plain", percent(mean), "Mean confidence", "an estimate; see limits"))
    if m.get("review"):
        review = m["review"]
        value = percent(review["accuracy"])
        facts.insert(0, ("good", value, "Checked by a person", interval(review)))
        return join([paragraph(sentences(run), "lead"), verdict.deployed(run), tiles([*facts, *_costs(run)])])
    lead = (
        "No true labels were given, so the accuracy of the student is not known. The figures below show how much the "
        "models agree with each other, which is not the same: models that share a mistake agree, too."
    )
    page = html(", or on <a href='#audit'>a page that needs no server</a>") if run.static_review else ""
    link = html(
        "To find out, check 50 random images in the browser: <code>zerolabel review {folder}</code>{page}.",
        folder=run.folder.name,
        page=page,
    )
    checked = [paragraph(text)] if (text := sentences(run)) else []
    first = [paragraph(lead, "lead"), paragraph(link), *checked, verdict.deployed(run)]
    return join([*first, tiles([*facts, *_costs(run)])])


def _agreement_with_zero_shot(run: Run) -> float | None:
    both = run.shown.dropna(subset=["zero_shot", "student"])
    return float((both["zero_shot"] == both["student"]).mean()) if len(both) else None


def _costs(run: Run) -> list[tuple[str, str, str, str]]:
    seconds = run.metrics.get("seconds") or {}
    facts = []
    if run.metrics.get("mean_candidates") is not None:
        value = f"{run.metrics['mean_candidates']:.2f}"
        facts.append(("plain", value, "Candidates per image", f"of {len(run.classes):,} classes"))
    if seconds:
        facts.append(
            (
                "plain",
                duration(sum(seconds.values())),
                "Time in all",
                f"for {count(run.metrics.get('n_images'))} images",
            )
        )
    return facts


def _interval(share: float, n: int | None) -> str:
    if not n:
        return ""
    low, high = wilson(round(share * n), n)
    return f"95% interval: {100 * low:.1f} to {100 * high:.1f}"


def _warnings(run: Run) -> Html:
    """Warnings that need no labels."""
    lines = [verdict.sentence(alarm["text"]) for alarm in run.metrics.get("alarms") or ()]
    if run.metrics.get("deployed") == "zero-shot":
        lines = [text for text in lines if text.lower() not in run.metrics["fallback_reason"].lower()]
        lines.insert(0, f"The zero-shot ensemble is deployed, not the student: {run.metrics['fallback_reason']}")
    elif run.metrics.get("deployed_by") == "review" and lines:
        lines.insert(0, f"The student is deployed all the same: {run.metrics['deployment_reason']}")
    lines += verdict.lifted(run)
    if len(run.shown):
        never = sorted(set(run.classes) - set(run.shown["student"]))
        few = len(run.shown) < 5 * len(run.classes)
        if never and not few:
            names = ", ".join(never[:5]) + (" …" if len(never) > 5 else "")
            lines.append(
                f"The student never answers {len(never):,} of {len(run.classes):,} classes: {names}. Either the "
                "images hold none, or the class collapsed."
            )
        most = run.shown["student"].value_counts(normalize=True)
        if len(run.classes) > 2 and most.iloc[0] > 0.8:
            lines.append(
                f"{percent(float(most.iloc[0]), 0)} of all answers are one class, “{most.index[0]}”. Look at its "
                "images before you trust the others."
            )
    return join(paragraph(line, "warning") for line in lines)
