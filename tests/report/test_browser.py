"""The page in a real browser: nothing sticks out sideways, and something is drawn in light and dark."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zerolabel.report import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")
_QUIET = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-background-networking", "--no-first-run")


def chromium(page: Path, profile: Path, *options: str) -> str:
    command = [str(CHROMIUM), "--headless", *_QUIET, "--disable-component-update", "--disable-sync"]
    command += [f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_nothing_sticks_out_on_a_phone(run_of_odd_names: Path, tmp_path: Path) -> None:
    html = re.sub(r"<meta http-equiv[^>]*>", "", build(run_of_odd_names)).replace("<details>", "<details open>")
    script = "const e = document.documentElement; document.title = `${e.scrollWidth} in ${e.clientWidth}`"
    probe = f"<script>{script}</script></body>"
    page = tmp_path / "report.html"
    page.write_text(html.replace("</body>", probe), encoding="utf-8")
    dom = chromium(page, tmp_path / "profile", "--window-size=390,900", "--dump-dom")
    measured = re.search(r"<title>(\d+) in (\d+)</title>", dom)
    assert measured is not None
    assert int(measured[1]) <= int(measured[2]) <= 500  # a browser may refuse to be narrower


def test_light_and_dark_are_drawn(run_without_truth: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(build(run_without_truth), encoding="utf-8")
    pictures = []
    for scheme in (1, 0):
        target = tmp_path / f"{scheme}.png"
        setting = f"--blink-settings=preferredColorScheme={scheme}"
        chromium(page, tmp_path / "profile", "--window-size=800,1000", setting, f"--screenshot={target}")
        pictures.append(np.asarray(Image.open(target).convert("L"), dtype=float))
    light, dark = pictures
    assert light.mean() > 200 > 60 > dark.mean()
    assert light.std() > 5 and dark.std() > 5
