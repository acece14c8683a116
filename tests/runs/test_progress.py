import io

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
    assert progress.note(Step(9, 10, 2, 4, 1.0)) == "9/10 images · 9 images/s · 4 from the cache · 2 unreadable"
    assert progress.note(epoch(0, 4)) == "epoch 1 · supervised 1.235 · agreement 0.5 · 1000 images/s"
    assert (progress.share(steps()[0]), progress.share(epoch(0, 4)), progress.share(Step(0, 0, 0, 0, 0.0))) == (
        0.2,
        0.25,
        0,
    )
    for describe in (progress.share, progress.note):
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
    assert lines[0].startswith("annotate: 20 % · 64/320 images · 128 images/s · ")
    assert lines[0].endswith(" s left")
    assert lines[-1] == "annotate: 100 % · 320/320 images · 128 images/s · 3 unreadable"
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


def test_what_fails_inside_a_stage_comes_through():
    def failing():
        yield steps()[0]
        raise ValueError("broken")

    for terminal in (False, True):
        with pytest.raises(ValueError, match="broken"):
            list(progress.Display(console(terminal=terminal))("annotate", failing()))
