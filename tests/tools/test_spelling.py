"""The pages are written in American spelling and without the phrases of the deny-list."""

from pathlib import Path

import pytest

from tools import spelling
from tools.american import american, rewritten
from tools.spelling import PAGES, ROOT, check, deny_list, files, fix_american, main

ROOTS = PAGES
"""What is checked; ``src`` belongs here as soon as it is clean."""


@pytest.mark.parametrize("path", files(ROOT / root for root in ROOTS), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_british_spelling_and_no_phrase_of_the_deny_list(path: Path) -> None:
    assert [str(finding) for finding in check([path])] == []


@pytest.mark.parametrize(
    ("british", "better"),
    [
        ("labelled", "labeled"), ("Unlabelled", "Unlabeled"), ("RELABELLING", "RELABELING"), ("colour", "color"),
        ("neighbours", "neighbors"), ("behaviour", "behavior"), ("normalisation", "normalization"),
        ("renormalised", "renormalized"), ("centre", "center"), ("centred", "centered"), ("grey", "gray"),
        ("greyscale", "grayscale"), ("learnt", "learned"), ("judgement", "judgment"), ("licences", "licenses"),
        ("artefact", "artifact"), ("analysed", "analyzed"), ("modelling", "modeling"), ("cancelled", "canceled"),
    ],
)  # fmt: skip
def test_a_word_keeps_its_case(british: str, better: str) -> None:
    assert american(british) == better and american(better) == better


@pytest.mark.parametrize(
    "word",
    [
        "raise", "noise", "precise", "promises", "otherwise", "likewise", "pairwise", "supervised", "analyses",
        "expertise", "four", "hour", "tour", "parse", "our", "labels", "label", "called", "rolling", "centrer",
        "scenery", "greyhound", "metric", "controlled", "compelling",
    ],
)  # fmt: skip
def test_words_that_only_look_british_stay(word: str) -> None:
    assert american(word) == word


def test_parts_of_names_are_words() -> None:
    assert rewritten("UnlabelledImages.n_neighbours = normaliseRows(x)") == (
        "UnlabeledImages.n_neighbors = normalizeRows(x)"
    )
    assert rewritten("learnt_accuracy, learnt", frozenset({"learnt_accuracy"})) == "learnt_accuracy, learned"


def test_a_phrase_is_found_over_a_line_break_with_its_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\nClasses are told\napart. `told apart` is code.\n")
    assert [(one.line, one.phrase) for one in check([page], {"told apart": "separated"})] == [(3, "told apart")]


def test_of_python_comments_strings_and_the_spelling_of_names_are_read(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""The votes\nof his kin."""\n\ncolour = kin = "x"  # told\n# apart\n')
    found = [(one.line, one.phrase) for one in check([module], {"kin": "similar", "told apart": "separated"})]
    assert found == [(2, "kin"), (4, "colour"), (4, "told apart")]


def test_fixing_rewrites_names_prose_and_file_names_but_no_keys_of_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.json").write_text('{"learnt_accuracy": 1, "row": "the unlabelled split"}')
    monkeypatch.setattr(spelling, "RESULTS", tmp_path / "results")
    spelling.result_texts.cache_clear(), spelling.result_keys.cache_clear()
    source = tmp_path / "benchmarks" / "neighbours.py"
    source.parent.mkdir()
    source.write_text('colour = row[f"learnt_{name}"], row["learnt_accuracy"], "the unlabelled split", "unlabelled"\n')
    (changed,) = fix_american([source.parent])
    spelling.result_texts.cache_clear(), spelling.result_keys.cache_clear()
    assert changed.name == "neighbors.py" and not source.exists()
    assert changed.read_text() == (
        'color = row[f"learnt_{name}"], row["learnt_accuracy"], "the unlabelled split", "unlabeled"\n'
    )
    assert fix_american([changed]) == []


def test_code_in_pages_can_be_kept(tmp_path: Path) -> None:
    page = tmp_path / "neighbours.md"
    page.write_text("A colour, `colour`.\n\n```sh\nrun --colour\n```\n")
    assert fix_american([page], keep_code=True) == [page]
    assert page.read_text() == "A color, `colour`.\n\n```sh\nrun --colour\n```\n"


def test_the_command_names_the_place_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("fine\na colour\n")
    assert main([str(page)]) == 1
    assert capsys.readouterr().out == f"{page}:2: colour -> color\n"
    page.write_text("fine\n")
    assert main([str(page)]) == 0


def test_a_bad_deny_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    for text, message in (("a phrase\n", "expected"), ("a -> b\nA -> c\n", "twice")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            deny_list(path)
    assert len(deny_list()) > 50
