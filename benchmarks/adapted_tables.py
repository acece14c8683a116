"""Tables of docs/adapting.md, from ``benchmarks/results/adaptation.json``."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.adaptation import RESULTS, STUDENTS, percent
from zerolabel.adaptation.methods import SUPERVISED
from zerolabel.diagnostics.open_set import SCENARIOS

Rows = tuple[list[str], list[list[str]]]
ROOT = Path(__file__).parents[1]
HEAD = "a head"
"""What is learned where no part of the model is."""
LOOPS = {
    ("all", "none"): "all digits named",
    ("all", "ueo"): "all digits named, `--adapt ueo`",
    ("all", "grip"): "all digits named, `--adapt grip`",
    ("open", "none"): "with OOD images, `--open-set`",
    ("open", "ueo"): "with OOD images, `--open-set`, `--adapt ueo`",
}


def adapted(part: str) -> pd.DataFrame:
    """The calls of a part of the benchmark."""
    found = pd.DataFrame(json.loads((ROOT / RESULTS).read_text(encoding="utf-8"))["adapted"])
    return found[found["part"] == part]


def accepted(runs: pd.DataFrame) -> str:
    """How often the check without labels took what was learned."""
    return f"{int(runs['used'].sum())} of {len(runs)}"


def methods() -> Rows:
    """Every method on all digits, the best deployed one first."""
    body = []
    for method, runs in adapted("methods").groupby("method", sort=False):
        few = " (4 labels a class)" if method in SUPERVISED else ""
        learns = str(runs["prompt"].iloc[0]) or HEAD
        figures = (percent(runs[name]) for name in ("accuracy", "learnt_accuracy"))
        body.append((runs["accuracy"].mean(), [f"`{method}`{few}", learns, *figures, accepted(runs)]))
    ordered = [row for _, row in sorted(body, key=lambda one: -one[0])]
    return ["all 1,297 digits", "learns", "deployed, %", "adapted, %", "accepted"], ordered


def skewed() -> Rows:
    """Methods on pools whose class sizes fall, by how steeply they fall."""
    found = adapted("skewed")
    body = []
    for method, runs in found.groupby("method", sort=False):
        pools = [runs[runs["pool"] == pool] for pool in ("ratio 10", "ratio 50")]
        figures = [percent(one[name]) for one in pools for name in ("accuracy", "learnt_accuracy")]
        body.append([f"`{str(method).replace('--set ', '')}`", *figures])
    return ["skewed pools", "ratio 10: deployed", "adapted", "ratio 50: deployed", "adapted"], body


def opened() -> Rows:
    """The four scenarios of open pools."""
    found = adapted("open")
    body = []
    for scenario in SCENARIOS:
        for method, runs in found[found["pool"] == scenario].groupby("method", sort=False):
            names = ("accuracy", "auroc_mcm", "learnt_accuracy", "learnt_auroc_mcm")
            body.append([f"{scenario}, `{method}`", *(percent(runs[name]) for name in names), accepted(runs)])
    return ["open pools", "deployed: accuracy", "AUROC", "adapted: accuracy", "AUROC", "accepted"], body


def loop() -> Rows:
    """Co-Reg on annotations of the model before and after it was adapted."""
    found = pd.DataFrame(json.loads((ROOT / RESULTS).read_text(encoding="utf-8"))["loop"])
    body = []
    for (pool, method), title in LOOPS.items():
        runs = found[(found["pool"] == pool) & (found["adapt"] == method)]
        students = [runs.loc[runs["student"] == student, "student_accuracy"] for student in STUDENTS]
        figures = [f"{percent(one)} ({len(one)})" for one in students]
        body.append([title, f"{100 * runs['zero_shot_accuracy'].mean():.1f}", *figures])
    return ["`zerolabel run`", "annotator, %", "student on pixels", "student on features"], body


TABLES: dict[str, Callable[[], Rows]] = {
    "adaptation": methods,
    "adaptation of skewed pools": skewed,
    "adaptation of open pools": opened,
    "adaptation before training": loop,
}
