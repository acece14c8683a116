"""The pages of the documentation are all in the menu, and every link leads to a page and a heading that exist."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"(?<!`)\]\(([^)#\s]*)(?:#([^)\s]+))?\)")

by_name = pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda p: p.name)


def entries(menu: object) -> list[str]:
    if isinstance(menu, str):
        return [menu]
    return [name for part in (menu.values() if isinstance(menu, dict) else menu) for name in entries(part)]  # type: ignore[attr-defined]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), flags=re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower() for title in titles]
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title)).strip("-") for title in plain}


def test_every_page_is_in_the_menu_once() -> None:
    menu = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(menu) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


@by_name
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for target, anchor in LINK.findall(text):
        if "://" in target:
            continue
        file = page if not target else page.parent / target
        assert file.is_file(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


@by_name
def test_the_site_holds_no_link_to_a_file_outside_its_pages(page: Path) -> None:
    if page in PAGES:
        assert not re.search(r"\]\((\.\./)+(README|CONTRIBUTING|src|benchmarks)", page.read_text())


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs zerolabel-vision[docs]")
    pytest.importorskip("mkdocstrings", reason="needs zerolabel-vision[docs]")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True))
    assert (tmp_path / "site" / "reference" / "api.html").is_file()
