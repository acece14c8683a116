import itertools
import math
import re

import pytest
import torch

from zerolabel.diagnostics.inspection import vote_counts
from zerolabel.report.charts import Line, bars, histogram, lines, ticks
from zerolabel.report.formats import duration, magnitude, percent, short, signed, size
from zerolabel.report.heatmap import heat_table
from zerolabel.report.intervals import separable, wilson
from zerolabel.report.licenses import UNKNOWN, license
from zerolabel.report.markup import Html, html, join, table


def test_votes_and_agreement_against_plain_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    votes = torch.randint(-1, 4, (50, 5), generator=generator)
    counts, agreement = vote_counts.votes_per_class(votes, 4), vote_counts.vote_agreement(votes)
    for a in range(5):
        assert counts[a].tolist() == [sum(votes[i, a] == c for i in range(50)) for c in range(4)]
        for b in range(5):
            both = [i for i in range(50) if votes[i, a] >= 0 and votes[i, b] >= 0]
            same = sum(bool(votes[i, a] == votes[i, b]) for i in both)
            assert agreement[a, b].item() == pytest.approx(same / len(both))
    means = vote_counts.mean_agreement(agreement)
    assert means[2].item() == pytest.approx(sum(agreement[2, b].item() for b in range(5) if b != 2) / 4)


def test_agreement_where_nobody_votes_is_unknown() -> None:
    votes = torch.tensor([[0, -1], [1, -1]])
    agreement = vote_counts.vote_agreement(votes)
    assert agreement[0, 0] == 1 and agreement[0, 1].isnan() and agreement[1, 1].isnan()
    assert vote_counts.mean_agreement(torch.ones(1, 1)).isnan().all()


def test_set_sizes_and_partners() -> None:
    candidates = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], dtype=torch.bool)
    assert vote_counts.set_sizes(candidates).tolist() == [1, 0, 3]
    assert vote_counts.partners(candidates).tolist() == [[0, 2, 0], [2, 0, 1], [0, 1, 0]]
    assert vote_counts.set_sizes(torch.zeros(0, 3, dtype=torch.bool)).tolist() == []


@pytest.mark.parametrize(("correct", "n"), [(0, 60), (54, 60), (60, 60), (1, 1)])
def test_wilson_against_its_formula(correct: int, n: int) -> None:
    z, p = 1.959963984540054, correct / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert wilson(correct, n) == pytest.approx((max(middle - half, 0), min(middle + half, 1)), abs=1e-9)


def test_separable() -> None:
    assert separable(0.9, 0.8, 500) and not separable(0.9, 0.88, 500) and not separable(0.5, 0.5, 10)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.03, 0.29), (-3, 7), (5, 5), (0, 12345), (1e-7, 3e-7)])
def test_ticks_span_the_data(low: float, high: float) -> None:
    values = ticks(low, high)
    assert values[0] <= low and values[-1] >= high and 2 <= len(values) <= 8
    steps = [b - a for a, b in itertools.pairwise(values)]
    assert max(steps) == pytest.approx(min(steps))


def test_lines_stay_inside_the_picture_and_drop_what_is_not_finite() -> None:
    curve = Line("loss", [(1, 5.0), (2, math.nan), (3, -2.0), (4, math.inf)])
    picture = lines([curve], title="t", x_name="epoch", x_range=(1, 4))
    points = re.search(r'points="([^"]*)"', picture)
    assert points is not None
    places = [tuple(map(float, pair.split(","))) for pair in points[1].split()]
    assert len(places) == 2
    assert all(0 <= x <= 360 and 0 <= y <= 190 for x, y in places)
    assert places[0][1] < places[1][1]  # the greater value is higher up
    assert lines([Line("none", [])], title="t", x_name="epoch", x_range=(1, 4)) == ""


def test_bars_and_histograms_are_as_high_as_their_values() -> None:
    heights = [
        float(h)
        for h in re.findall(r'<rect[^>]* height="([\d.]+)"', bars([1, 2, 0], list("abc"), title="t", x_name="x"))
    ]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2) and heights[2] == 0
    picture = histogram([("<s>", [0, 4], "student")], low=0, high=1, title="t", x_name="x")
    assert "&lt;s&gt;" in picture and "<s>" not in picture
    assert histogram([("empty", [0, 0], "student")], low=0, high=1, title="t", x_name="x")


def test_heat_table_shades() -> None:
    made = heat_table(
        [[0, 10], [5, math.nan]], [["0", "10"], ["5", "–"]], rows="ab", columns="cd", corner="", caption="c"
    )
    assert re.findall(r"--shade:(\d+)%", made) == ["0", "100", "50"]
    assert heat_table([[0]], [["0"]], rows="a", columns="b", corner="", caption="c")


def test_markup_escapes_all_but_markup() -> None:
    assert html("<p>{x}</p>", x="<&>") == "<p>&lt;&amp;&gt;</p>"
    assert html("<p>{x}</p>", x=Html("<i>")) == "<p><i></p>"
    assert join(["<", Html("<br>")]) == "&lt;<br>"
    assert "&lt;b&gt;" in table(("<b>",), [("<b>",)], caption="<b>") and "<b>" not in table(
        ("<b>",), [("<b>",)], caption="<b>"
    )


def test_formats() -> None:
    assert [duration(s) for s in (0.04, 9.96, 59.7, 61, 3599.8, 7260)] == [
        "0.0 s",
        "10.0 s",
        "1 min 0 s",
        "1 min 1 s",
        "1 h 0 min",
        "2 h 1 min",
    ]
    assert [size(n) for n in (999, 1000, 2_500_000, 3e9)] == ["999 B", "1.0 kB", "2.5 MB", "3.0 GB"]
    assert [magnitude(n) for n in (None, 12, 98_000, 11_200_000)] == ["–", "12", "98.0 k", "11.2 M"]
    assert [short(x) for x in (0, 0.03, 1200, 2.4e-7, 0.175)] == ["0", "0.03", "1,200", "2.4e-7", "0.175"]
    assert [signed(x, 1) for x in (0.04, -0.04, 2.5, -9.84)] == ["0", "0", "+2.5", "−9.8"]
    assert percent(None) == percent(math.nan) == "–" and percent(0.1234) == "12.3%"


def test_licenses_are_not_guessed() -> None:
    assert license("open_clip:ViT-B-32/openai") == "MIT"
    assert license("open_clip:ViT-B-16-SigLIP/webli") == "Apache-2.0"
    assert "Apple" in license("open_clip:MobileCLIP-S1/datacompdr")
    assert license("open_clip:/models/openai/openai") == license("hf-hub:someone/openai") == UNKNOWN
    assert "Apache" in license("glyphs") and license("glyphsomething") == UNKNOWN
