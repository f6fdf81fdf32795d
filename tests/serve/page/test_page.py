"""The page in a real browser: what somebody sees who tries the model."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from lifecycle.core.artifact import Artifact
from lifecycle.serve.settings import ServedModel, Settings
from tests.serve.bundles import LABELS, expected_logits, softmax
from tests.serve.pictures import encoded
from tests.serve.servers import Server, started

pytestmark = pytest.mark.needs("chromium")
expect.set_options(timeout=60_000)  # on a busy machine a server takes its time


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"], timeout=120_000
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, several: Server) -> Iterator[Page]:
    """The page with the digits; at the end nothing may have been asked for elsewhere, and no script have failed."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, base_url=several.url())
    context.set_default_timeout(60_000)
    opened = context.new_page()
    origins: set[str] = set()
    failures: list[str] = []
    opened.on(
        "request",
        lambda request: origins.add(request.url.split("/")[2]) if request.url[:4] == "http" else None,
    )
    opened.on("pageerror", lambda error: failures.append(str(error)))
    opened.goto("/#digits")
    expect(opened.locator("#work")).to_be_visible()
    yield opened
    assert origins == {urlsplit(several.url()).netloc}
    assert failures == []
    context.close()


def draw(page: Page) -> None:
    """A stroke from the top to the bottom of the sheet."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.9, steps=5)
    page.mouse.up()


def bars(page: Page) -> dict[str, str]:
    """What the bars of the answer to the last question say."""
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".bars li").first).to_be_visible()
    texts = (item.locator("span").all_inner_texts() for item in page.locator(".bars li").all())
    return {name: value for name, value in texts}


def test_what_is_drawn_is_answered_with_bars(page: Page, several: Server) -> None:
    draw(page)
    address = page.locator("#canvas").evaluate("canvas => canvas.toDataURL('image/png')")
    sheet = base64.b64decode(address.partition(",")[2])
    answer = httpx.post(
        several.url() + "/predict?model=digits",
        content=sheet,
        headers={"Content-Type": "image/png"},
        timeout=60,
    )
    (prediction,) = answer.json()["predictions"]
    assert bars(page) == {label: f"{100 * odds:.1f} %" for label, odds in prediction["probabilities"].items()}
    expect(page.locator(".verdict strong")).to_have_text(prediction["label"])
    expect(page.locator(".bars .best .name")).to_have_text(prediction["label"])
    widths = page.locator(".bars .fill").evaluate_all("bars => bars.map(bar => bar.style.width)")
    expected = [100 * odds for odds in prediction["probabilities"].values()]
    assert [float(width.rstrip("%")) for width in widths] == pytest.approx(expected, abs=0.01)
    expect(page.locator("#time")).to_have_text(
        re.compile(r"^[\d.]+ ms, [\d.]+ ms of it at the endpoint · digits version 1$")
    )
    page.click("#clear")
    expect(page.locator("#empty")).to_be_visible()


def test_rows_are_edited_and_mistakes_explained(page: Page) -> None:
    page.click("#tab-json")
    page.click("#ask")  # the example that stands there works
    assert list(bars(page)) == list(LABELS)
    pixels = np.full((1, 1, 8, 8), 3, np.uint8)
    pixels[0, 0, 2] = 16
    page.fill("#json", json.dumps(pixels.tolist()))
    page.keyboard.press("Control+Enter")
    odds = softmax(expected_logits(pixels))[0]
    assert list(bars(page).values()) == [f"{100 * share:.1f} %" for share in odds]
    expect(page.locator(".verdict strong")).to_have_text(LABELS[int(odds.argmax())])
    page.fill("#json", "[[1, 2]]")
    page.click("#ask")
    expect(page.locator("#problem")).to_have_text("rows[0]: expected 64 values for shape [1, 8, 8], got 2")
    assert page.locator(".bars").count() == 0
    page.fill("#json", "[1")
    page.click("#ask")
    expect(page.locator("#problem")).to_have_text(re.compile("^This is not JSON: "))
    page.click("#example")
    page.click("#ask")
    expect(page.locator("#problem")).to_be_hidden()


def test_an_answer_that_comes_late_is_not_taken_for_another(page: Page) -> None:
    """Requests are held back here: what stands there meanwhile is marked, and nothing comes back after it is gone."""
    held: list[Route] = []
    page.route("**/predict?*", lambda route: held.append(route))
    page.click("#tab-json")
    for mistake in (False, True):
        with page.expect_request("**/predict?*"):
            page.click("#ask")
        expect(page.locator("#answer")).to_have_attribute("aria-busy", "true")
        if mistake:
            page.fill("#json", "[1")
            page.click("#ask")
            expect(page.locator("#problem")).to_have_text(re.compile("^This is not JSON: "))
        else:
            page.select_option("#models", "logarithm")
            page.select_option("#models", "digits")
            page.click("#tab-json")
        expect(page.locator("[aria-busy=true]")).to_have_count(0)
        with page.expect_response("**/predict?*"):
            held.pop().continue_()
        page.wait_for_timeout(100)
        assert page.locator(".prediction").count() == 0
    page.unroute("**/predict?*")
    page.click("#example")
    page.click("#ask")
    assert list(bars(page)) == list(LABELS)


def test_all_of_it_works_from_the_keyboard(page: Page) -> None:
    def tab_to(target: str) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == target:
                return
        pytest.fail(f"{target} cannot be reached")

    tab_to("tab-draw")
    tab_to("canvas")
    expect(page.locator(".keys")).to_be_visible()
    page.uncheck("#live")
    page.locator("#canvas").focus()
    for key in ("ArrowUp", "Space", *["ArrowDown"] * 6, "Space", "Enter"):
        page.keyboard.press(key)
    assert len(bars(page)) == 10
    ink = page.locator("#canvas").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 == 0 && v > 0).length"
    )
    assert ink > 1000
    page.keyboard.press("Delete")
    tab_to("ask")
    page.locator("#tab-draw").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-json"
    tab_to("json")
    tab_to("ask")
    page.keyboard.press("Enter")
    assert len(bars(page)) == 10


def test_files_are_sent_together(page: Page, tmp_path: Path) -> None:
    shades = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for name, pixels in (("one.png", shades), ("two.jpg", shades.T.copy())):
        (tmp_path / name).write_bytes(encoded(pixels, "PNG" if name.endswith("png") else "JPEG"))
    page.click("#tab-file")
    page.set_input_files("#file", [tmp_path / "one.png", tmp_path / "two.jpg"])
    expect(page.locator(".prediction > p:first-child")).to_have_text(["one.png", "two.jpg"])
    (tmp_path / "none.png").write_bytes(b"text")
    page.set_input_files("#file", tmp_path / "none.png")
    expect(page.locator("#problem")).to_have_text(
        re.compile(r"^images\[0\]: this is no image that can be read")
    )


def test_each_model_gets_the_input_that_suits_it(page: Page) -> None:
    assert page.locator("#models option").all_inner_texts() == ["digits", "logarithm", "table", "sum", "echo"]
    page.select_option("#models", "logarithm")
    assert page.locator("[role=tab]").all_inner_texts() == ["JSON", "File"]
    page.fill("#json", "[[1, 10]]")
    page.click("#ask")
    assert bars(page) == {"0": "0", "1": "2.303"}
    page.select_option("#models", "echo")
    page.fill("#json", '[["a", "<b>"]]')
    page.click("#ask")
    expect(page.locator(".prediction pre")).to_have_text('["a","<b>"]')
    page.select_option("#models", "sum")  # its two inputs go by the protocol
    assert page.locator("[role=tab]").all_inner_texts() == ["JSON"]
    page.fill("#json", page.input_value("#json").replace(r"0.637", "1"))
    page.click("#ask")
    assert len(bars(page)) == 2
    expect(page.locator("#time")).to_have_text(re.compile("sum version 1$"))


def test_what_the_registry_says_of_a_model_is_shown_as_text(page: Page) -> None:
    expect(page.locator("#card")).to_be_hidden()
    page.select_option("#models", "logarithm")
    page.click("#card summary")
    card = page.locator("#card-text")
    expect(card.locator("h3")).to_have_text("Logarithm")
    expect(card.locator("p")).to_have_text("It takes `numbers`, positive ones.")
    expect(card.locator("strong")).to_have_text("positive")
    assert card.locator("th, td").all_inner_texts() == ["axis", "size", "batch", "any | 1"]
    expect(card.locator("li")).to_have_text("<script>window.ran = 1</script>")
    assert page.evaluate("window.ran") is None


@pytest.mark.parametrize("path", ["/#digits", "/docs"])
def test_nothing_is_wider_than_a_phone(browser: Browser, several: Server, path: str) -> None:
    page = browser.new_page(
        viewport={"width": 360, "height": 740}, color_scheme="dark", base_url=several.url()
    )
    page.goto(path)
    expect(page.locator("#wait")).to_be_hidden()
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    for tab in ("draw", "file", "json") if path == "/#digits" else ():
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(map(int, re.findall(r"\d+", dark)[:3])) < 40
    page.close()


def test_every_control_has_a_name(page: Page) -> None:
    page.click("#tab-file")
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, textarea, canvas[tabindex], a')].filter(each =>
        !(each.textContent.trim() || each.ariaLabel || each.labels?.length)).map(each => each.id)"""
    )
    assert nameless == []


def test_the_browser_keeps_scripts_in_and_requests_at_home(page: Page, several: Server) -> None:
    policy = httpx.get(several.url(), timeout=60).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert (
        page.evaluate("fetch('http://example.invalid/').then(() => 'sent', error => error.message)")
        == "Failed to fetch"
    )
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.ran = 1\">')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None


def test_a_key_is_kept_in_the_tab_and_another_version_told(
    browser: Browser, digits: Artifact, tmp_path: Path
) -> None:
    key = "a-key-of-the-tests"
    served = ServedModel(name="digits", version="1", bundle=digits.path)
    settings = Settings(models=(served,), port=0, workers=1, threads=1)
    with started(settings, tmp_path / "server", LIFECYCLE_API_KEYS=key) as server:
        page = browser.new_page(base_url=server.url())
        page.goto("/")
        expect(page.locator("#key")).to_be_visible()
        assert page.evaluate("document.activeElement.id") == "key-text"
        expect(page.locator("#work")).to_be_hidden()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#key-problem")).to_have_text(
            re.compile("^the API key is not one of this server's")
        )
        page.fill("#key-text", key)
        page.keyboard.press("Enter")
        expect(page.locator("#work")).to_be_visible()
        draw(page)
        assert len(bars(page)) == 10
        page.goto("/docs")
        expect(page.locator("#predict")).to_be_visible()
        page.goto("/")
        expect(page.locator("#version")).to_have_text("version 1")
        port = urlsplit(server.url()).port
    served = ServedModel(name="digits", version="2", bundle=digits.path)
    settings = Settings(models=(served,), port=port or 0, workers=1, threads=1)
    with started(settings, tmp_path / "second", LIFECYCLE_API_KEYS=key) as server:
        server.url()
        page.click("#ask")  # as if the server had followed the registry to another version
        expect(page.locator("#time")).to_have_text(re.compile("digits version 2$"))
        expect(page.locator("#version")).to_have_text("version 2")
        page.close()


def test_the_document_is_shown_whole(browser: Browser, several: Server) -> None:
    document = httpx.get(several.url() + "/docs.json", timeout=60).json()
    page = browser.new_page(base_url=several.url())
    page.goto("/docs")
    expect(page.locator("#predict")).to_be_visible()
    shown = {
        tuple(item.locator("span, code").all_inner_texts()[:2])
        for item in page.locator("details.operation > summary").all()
    }
    assert shown == {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    page.close()
