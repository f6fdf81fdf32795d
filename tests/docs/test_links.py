"""Links of the documentation lead somewhere: files, and headings within them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, name, pages, slug_of


@pytest.mark.parametrize("page", pages(), ids=name)
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (page.parent / target) if target else page
        whole = path.exists() and (not anchor or path.suffix != ".md" or anchor in anchors(path))
        if not whole:
            broken.append(link)
    assert broken == []


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    missing = [name(page) for page in ROOT.glob("docs/*.md") if page.resolve() not in listed | {index}]
    assert missing == []


def test_headings_are_linked_as_github_does() -> None:
    assert slug_of("What the server adds") == "what-the-server-adds"
    assert slug_of("`mlflow gc`, and [why](x.md)?") == "mlflow-gc-and-why"
