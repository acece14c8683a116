"""Plant one mistake at a time in a copy of the package, and see whether the tests named for its file find it.

python -m tools.planted_mistakes                plants all, and writes benchmarks/results/planted_mistakes.json
python -m tools.planted_mistakes --only NAME    those whose name holds NAME; the results of the others stay
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.mistakes import MISTAKES, Mistake
from zerolabel.files import write_text

RESULTS = Path("benchmarks/results/planted_mistakes.json")
COPIED = ("src", "tests", "tools", "benchmarks", "pyproject.toml")
FOUND, SURVIVED, STALE, LATE = "found", "survived", "stale", "out of time"


@dataclass(frozen=True)
class Outcome:
    """What came of a mistake.

    Attributes:
        verdict: "found" where a test failed, "survived" where all passed, "stale" where its line is no longer in the
            file exactly once, "out of time".
        by: the first test that failed; empty where none did.
    """

    verdict: str
    by: str = ""


def copied(tree: Path, place: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = tree / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)
    return place


def plant(mistake: Mistake, tree: Path) -> bool:
    """Put a mistake into a tree; false where its line is not there exactly once."""
    file = tree / "src" / "zerolabel" / mistake.file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text.count(mistake.old) != 1:
        return False
    write_text(file, text.replace(mistake.old, mistake.new))
    return True


def tried(mistake: Mistake, tree: Path, seconds: float) -> Outcome:
    """Run the tests of a planted mistake in its tree, until the first that fails."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("ZEROLABEL_REFERENCE", str(Path.cwd().resolve().parent / "shared"))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", *mistake.tests]
    command += ["-k", mistake.only] if mistake.only else []
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Outcome(LATE)
    failed = [
        line.split()[1] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR")) and " " in line
    ]
    if done.returncode not in (0, 1, 2):
        raise SystemExit(f"{mistake.name}: pytest could not run ({done.returncode})\n{done.stdout}{done.stderr}")
    return Outcome(FOUND, failed[0] if failed else "collection") if done.returncode else Outcome(SURVIVED)


def outcome(mistake: Mistake, tree: Path, seconds: float) -> Outcome:
    """Plant a mistake in a copy of a tree, and try it there."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(tree, Path(folder))
        return tried(mistake, copy, seconds) if plant(mistake, copy) else Outcome(STALE)


def recorded(results: Path) -> dict[str, dict[str, object]]:
    """Earlier results by name."""
    if not results.is_file():
        return {}
    return {row["name"]: row for row in json.loads(results.read_text(encoding="utf-8"))["mistakes"]}


def record(results: Path, rows: dict[str, dict[str, object]]) -> None:
    """Write the results in the order of the list; those of mistakes that are no longer in it go."""
    kept = [rows[mistake.name] for mistake in MISTAKES if mistake.name in rows]
    facts = {"command": "python -m tools.planted_mistakes", "mistakes": kept}
    write_text(results, json.dumps(facts, indent=1) + "\n")


def main(words: Sequence[str] | None = None) -> None:
    """Plant what is asked for; exit with 1 where a mistake survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="mistakes whose name holds this")
    parser.add_argument("--seconds", type=float, default=300, help="for the tests of one mistake")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args(words)
    rows = recorded(asked.results)
    chosen = [mistake for mistake in MISTAKES if asked.only in mistake.name]
    for mistake in chosen:
        found = outcome(mistake, Path.cwd(), asked.seconds)
        rows[mistake.name] = {
            "name": mistake.name, "file": mistake.file, "old": mistake.old, "new": mistake.new,
            "tests": list(mistake.tests), "verdict": found.verdict, "by": found.by,
        }  # fmt: skip
        record(asked.results, rows)
        print(f"{found.verdict:12} {mistake.name} {found.by}", flush=True)
    sys.exit(any(rows[mistake.name]["verdict"] != FOUND for mistake in chosen))


if __name__ == "__main__":
    main()
