import io
import re

import pytest
from rich.console import Console

from zerolabel.annotate import Step
from zerolabel.runs import progress
from zerolabel.training import EpochLog


def console(*, terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=200, highlight=False, legacy_windows=False)


def steps(n=5):
    return [Step(64 * i, 64 * n, 3 if i > 1 else 0, 0, i * 0.5) for i in range(1, n + 1)]


def epoch(i, n):
    return EpochLog(i, (i + 1) / n, {"supervised": 1.23456}, {"agreement": 0.5}, 0.1, 1000.0, 1.0)


def test_steps_in_words():
    assert progress.note(steps()[0]) == "64/320 images · 128 images/s"
    assert progress.note(Step(9, 10, 2, 4, 1.0)) == "9/10 images · 5 images/s · 4 from the cache · 2 unreadable"
    assert progress.note(Step(9, 10, 0, 9, 0.1)) == "9/10 images · 9 from the cache", "a cache has no speed"
    assert progress.note(epoch(0, 4)) == "epoch 1 · 1000 images/s · agreement 0.5 · supervised 1.235"
    assert (progress.share(steps()[0]), progress.share(epoch(0, 4)), progress.share(Step(0, 0, 0, 0, 0.0))) == (
        0.2,
        0.25,
        0,
    )
    for describe in (progress.share, progress.parts):
        with pytest.raises(TypeError):
            describe("something else")


def test_plain_lines_now_and_then_and_the_last(monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    screen = console(terminal=False)
    passed = list(progress.Display(screen)("annotate", iter(steps())))
    lines = screen.file.getvalue().splitlines()
    assert passed == steps()
    assert 2 <= len(lines) < 5
    assert lines[0].startswith("annotate: 20% · 64/320 images · 128 images/s · ")
    assert lines[0].endswith(" s left")
    assert lines[-1] == "annotate: 100% · 320/320 images · 128 images/s · 3 unreadable"
    assert "\x1b" not in screen.file.getvalue()


def test_one_step_is_one_line_and_no_step_is_none():
    screen = console(terminal=False)
    display_ = progress.Display(screen)
    assert list(display_("train", iter([]))) == []
    assert screen.file.getvalue() == ""
    list(display_("train", iter([epoch(0, 1)])))
    assert len(screen.file.getvalue().splitlines()) == 1


def test_a_bar_on_a_terminal():
    screen = console(terminal=True)
    passed = list(progress.Display(screen)("train", (epoch(i, 3) for i in range(3))))
    assert [log.epoch for log in passed] == [0, 1, 2]
    assert "epoch 3" in screen.file.getvalue()
    assert "supervised 1.235" in screen.file.getvalue()


@pytest.mark.parametrize("stage", ["annotate", "train features", "annotate held-out images, open_clip:ViT-B-32/openai"])
@pytest.mark.parametrize(("width", "terms"), [(80, False), (200, True)])
def test_the_line_fits_and_keeps_name_share_and_times(stage, width, terms):
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, legacy_windows=False)
    list(progress.Display(screen)(stage, (epoch(i, 3) for i in range(3))))
    line = next(line for line in reversed(screen.file.getvalue().split("\r")) if "elapsed" in line)
    line = re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", line).rstrip()
    assert len(line) <= width and stage[: progress.LONGEST_NAME - 1] in line
    assert "100% · 0:00 elapsed · 0:00 left" in line and "…" not in line.partition("100%")[2]
    assert ("supervised 1.235" in line) == terms


def test_what_fails_inside_a_stage_comes_through():
    def failing():
        yield steps()[0]
        raise ValueError("broken")

    for terminal in (False, True):
        with pytest.raises(ValueError, match="broken"):
            list(progress.Display(console(terminal=terminal))("annotate", failing()))
