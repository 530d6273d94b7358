"""The report as a browser shows it: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from small_report import whole_study

from concrete_study.results.report.writing import write_comparison, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Chromium looks for updates and news by itself; no test may use the network.
FLAGS = [
    "--no-sandbox",  # root, as in a container, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = [360, 1280]
SCHEMES: list[Literal["light", "dark"]] = ["light", "dark"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true",
        reason="chromium is not on this machine (Debian: apt-get install chromium)",
    ),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI has to install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(whole_study(tmp_path_factory.mktemp("runs") / "whole"))


@pytest.fixture
def messages() -> list[str]:
    """Messages of the console and requests of the page; stays empty."""
    return []


def opened(browser: Browser, report: Path, messages: list[str], **how: Any) -> Page:
    page = browser.new_page(**how)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: messages.append(request.url))
    page.goto(report.as_uri())
    # The page itself is the one request; images are data within it.
    requests = [text for text in messages if not text.startswith("data:")]
    messages[:] = [text for text in requests if text != report.as_uri()]
    return page


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", SIZES)
def test_the_page_has_no_console_messages_and_fits_its_window(
    browser: Browser,
    report: Path,
    messages: list[str],
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    size = {"width": width, "height": 800}
    page = opened(browser, report, messages, viewport=size, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert messages == []
    page.close()


@pytest.mark.parametrize("width", SIZES)
def test_the_page_of_several_studies_has_no_console_messages(
    browser: Browser, messages: list[str], tmp_path: Path, width: int
) -> None:
    studies = [whole_study(tmp_path / name) for name in ("first", "second-with-a-long-name")]
    comparison = write_comparison(studies, tmp_path / "page")
    size = {"width": width, "height": 800}
    page = opened(browser, comparison, messages, viewport=size)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert messages == []
    assert len(page.query_selector_all(".plot svg")) == 3
    page.close()


def test_every_image_loads(browser: Browser, report: Path, messages: list[str]) -> None:
    page = opened(browser, report, messages)
    sizes = page.eval_on_selector_all("img", "images => images.map(one => one.naturalWidth)")
    assert sizes == [160] * 30
    boxes = page.eval_on_selector_all(
        ".plot:not(.static) svg", "all => all.map(one => one.getBoundingClientRect().height)"
    )
    assert len(boxes) > 12
    assert min(boxes) > 100
    names = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(names) == len(set(names))
    page.close()


def column(page: Page, table: str, number: int) -> list[str]:
    cells = page.query_selector_all(f"#table-{table} tbody td:nth-child({number})")
    return [cell.get_attribute("data-value") or "" for cell in cells]


def test_tables_sort_by_value_both_ways(
    browser: Browser, report: Path, messages: list[str]
) -> None:
    page = opened(browser, report, messages)
    button = page.locator("#table-leaderboard th button", has_text="FT LR")
    heads = page.locator("#table-leaderboard th").all_inner_texts()
    position = 1 + next(number for number, text in enumerate(heads) if "FT LR" in text)
    for down in (False, True):
        button.click()
        values = column(page, "leaderboard", position)
        numbers = [float(text) for text in values if text]
        assert numbers == sorted(numbers, reverse=down)
        assert 0 < len(numbers) < len(values)
        assert not any(values[len(numbers) :])  # blanks last, either way
    page.close()


@pytest.mark.parametrize("width", SIZES)
def test_a_drag_selects_lines_of_the_parallel_coordinates(
    browser: Browser, report: Path, messages: list[str], width: int
) -> None:
    page = opened(browser, report, messages, viewport={"width": width, "height": 900})
    selected = page.locator(".parallel .selected")
    assert selected.inner_text() == "All 12 trials."
    page.locator(".parallel .chart").scroll_into_view_if_needed()
    box = page.locator(".parallel .chart").bounding_box()
    assert box is not None
    wide = width > 560
    # Along the first axis, the left one of a wide window, the top one of a narrow one.
    at = (box["x"] + 40, box["y"] + 100) if wide else (box["x"] + 30, box["y"] + 30)
    to = (at[0], at[1] + 120) if wide else (at[0] + 120, at[1])
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(*to, steps=8)
    page.mouse.up()
    page.wait_for_function("!document.querySelector('.selected').textContent.startsWith('All')")
    assert " of 12" in selected.inner_text()
    assert messages == []
    page.close()


def test_on_paper_the_static_plot_replaces_the_parallel_coordinates(
    browser: Browser, report: Path, messages: list[str]
) -> None:
    page = opened(browser, report, messages, color_scheme="dark")
    assert not page.locator(".static svg").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".static svg").is_visible()
    assert not page.locator(".parallel").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()


def test_a_script_that_is_not_of_the_page_does_not_run(
    browser: Browser, report: Path, tmp_path: Path
) -> None:
    strange = "<script>document.title = 'run'</script><img src=x onerror='document.title = 1'>"
    page = tmp_path / "page.html"
    page.write_text(report.read_text(encoding="utf-8").replace("<main>", f"<main>{strange}"))
    assert strange in page.read_text()
    messages: list[str] = []
    shown = opened(browser, page, messages)
    assert "report" in shown.title()
    assert [m for m in messages if "Content Security Policy" in m]
    shown.close()


def test_without_scripts_the_static_plot_is_visible(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".static svg").is_visible()
    assert not page.locator(".parallel").is_visible()
    context.close()
