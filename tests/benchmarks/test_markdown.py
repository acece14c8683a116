"""The tables of the documentation are those of the committed results."""

import pytest

from benchmarks import markdown
from benchmarks.markdown import ROOT, TABLES, figure, lines, renewed


@pytest.mark.parametrize("name", TABLES)
def test_the_page_holds_the_committed_figures(name: str) -> None:
    page, table = TABLES[name]
    text = (ROOT / page).read_text(encoding="utf-8")
    assert renewed(text, name, table()) == text, "run python -m benchmarks.markdown"


@pytest.mark.parametrize("name", TABLES)
def test_every_figure_of_a_table_is_there(name: str) -> None:
    head, rule, *body = TABLES[name][1]()
    assert rule.count("---") == head.count("|") - 1 and all(row.count("|") == head.count("|") for row in body)
    plain = name.startswith(("audit", "real", "regret", "improve", "forecasts", "adaptation", "exports", "memory"))
    averaged = plain or all("±" in row or row.startswith("| *") for row in body)
    assert body and averaged and "nan" not in " ".join(body)


def test_a_figure_is_mean_and_deviation_in_per_cent() -> None:
    assert figure([0.5, 0.52, 0.54]) == "52.0 ± 2.0" and figure([]) == ""
    assert lines(["", "a"], [["x", "1"]]) == ["|  | a |", "|---|---|", "| x | 1 |"]


def test_a_table_goes_to_its_place_and_nowhere_else() -> None:
    start, end = "<!-- t: written by python -m benchmarks.markdown -->", "<!-- end of t -->"
    page = f"before\n{start}\nold\n{end}\nafter {end}"
    assert renewed(page, "t", ["| new |"]) == f"before\n{start}\n\n| new |\n\n{end}\nafter {end}"
    with pytest.raises(ValueError, match="no place for 'u'"):
        renewed(page, "u", [])


def test_the_command_writes_the_pages(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(markdown, "ROOT", tmp_path)
    monkeypatch.setattr(markdown, "TABLES", {"t": ("page.md", lambda: ["| 1 |"])})
    page = tmp_path / "page.md"
    page.write_text("<!-- t: written by python -m benchmarks.markdown --> <!-- end of t -->", encoding="utf-8")
    markdown.main()
    once = page.read_text(encoding="utf-8")
    markdown.main()
    assert "| 1 |" in once and page.read_text(encoding="utf-8") == once
