from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import lifecycle.serve
from lifecycle.serve.dataplane import DataPlane
from lifecycle.serve.page.site import STATIC
from tests.serve.asking import Local

PAGE = Path(lifecycle.serve.__file__).parent / "page" / "static"


@pytest.fixture
def local() -> Iterator[Local]:
    """A server whose models are not open yet: the page is there before them."""
    plane = DataPlane()
    yield Local(plane)
    plane.close()


@pytest.mark.parametrize("path", sorted(STATIC))
def test_every_file_is_sent_and_not_twice(local: Local, path: str) -> None:
    answer = local.get(path)
    assert answer.status_code == 200
    name = {"/": "index.html", "/docs": "docs.html"}.get(path, path.removeprefix("/page/"))
    assert answer.content == (PAGE / name).read_bytes()
    assert answer.headers["Content-Type"].partition(";")[0] in (
        "text/html",
        "text/css",
        "text/javascript",
        "image/svg+xml",
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = asyncio.run(local.send("GET", path, headers={"If-None-Match": answer.headers["ETag"]}))
    assert (again.status_code, again.content) == (304, b"")


def test_all_files_are_among_them() -> None:
    """Nobody has to bring a key for a part of a page, nor for anything else."""
    names = {f"/page/{path.name}" for path in PAGE.iterdir() if path.suffix != ".html"}
    assert names | {"/", "/docs"} == STATIC


@pytest.mark.parametrize(
    "path", ["/page/index.html", "/page/nope.js", "/page/..%2Fsite.py", "/page/%2e%2e/site.py", "/page/"]
)
def test_nothing_else_is(local: Local, path: str) -> None:
    answer = local.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_pages_name_nothing_outside(local: Local) -> None:
    for path in STATIC - {"/page/icon.svg"}:
        text = local.get(path).text
        assert "//" not in text.replace("// ", "").replace("\n//", ""), path


def test_what_is_served_is_not_known_before_it_is(local: Local) -> None:
    answer = local.get("/page/models.json")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert local.get("/docs.json").json()["info"]["description"].startswith("Serves no model yet")
