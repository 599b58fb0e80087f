"""The page of `mlkit watch` in a real browser: it follows the runs and keeps where its reader was."""

from __future__ import annotations

import pytest

from mlkit.watch.live import LivePage
from tests.page.sample import sample_page

pytestmark = pytest.mark.slow

WIDTH, HEIGHT = 1100, 700
PLACE = "() => document.querySelector('#{anchor}').getBoundingClientRect().top"


@pytest.fixture
def shown(browser):
    """A page that is served, and open in a browser that tells of every complaint and foreign request."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    page, complaints = context.new_page(), []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    with LivePage("explore.py") as live:
        page.on("request", lambda asked: asked.url.startswith(live.url) or complaints.append(asked.url))
        live.show(sample_page(), run=1)
        page.goto(live.url)
        yield live, page, complaints
        context.close()


def test_the_reader_stays_where_they_were(shown):
    """What they had unfolded is unfolded in the next page, and the same line is at the same height."""
    live, page, complaints = shown
    folded = page.locator("details:not([open]) > summary").filter(visible=True)
    title = folded.first.inner_text()
    folded.first.click()
    unfolded = page.locator("details[open]").count()
    anchor = page.evaluate("() => [...document.querySelectorAll('main [id]')].at(-4).id")
    page.evaluate(f"() => document.querySelector('#{anchor}').scrollIntoView()")
    before = page.evaluate(PLACE.format(anchor=anchor))
    page.evaluate("() => { window.old = true; }")
    more = sample_page().replace("<main", "<p style='height:300px'>new above all</p><main", 1)
    live.show(more, run=2)
    page.wait_for_function("() => !window.old && document.body.textContent.includes('new above all')")
    assert page.locator("details[open]").count() == unfolded
    assert page.locator("details[open] > summary", has_text=title).count() == 1
    assert page.evaluate("() => scrollY") > 300
    assert page.evaluate(PLACE.format(anchor=anchor)) == pytest.approx(before, abs=2)
    assert complaints == []


def test_an_error_stands_over_the_last_good_page(shown):
    """With its age, as text and not as markup; it goes when there is a new page, and the end is said."""
    live, page, complaints = shown
    banner = page.locator("#mlkit-watch")
    assert not banner.is_visible()
    live.begin(2)
    page.wait_for_function("() => document.querySelector('#mlkit-watch').textContent.includes('under way')")
    live.fail("ValueError: <b>bold</b>", run=2)
    page.wait_for_function("() => document.querySelector('#mlkit-watch').textContent.includes('ValueError')")
    assert banner.is_visible()
    text = banner.inner_text()
    assert text.startswith("Run 2 ended ")
    assert "s ago without a new page: ValueError: <b>bold</b>" in text
    assert "The page below is of run 1, made " in text
    assert banner.locator("b").count() == 0
    assert page.title() == "flight_delay: v8 serves"
    live.show(sample_page(), run=3)
    page.wait_for_function("() => document.querySelector('#mlkit-watch').style.display === 'none'")
    live.__exit__(None, None, None)
    page.wait_for_function("() => document.querySelector('#mlkit-watch').textContent.includes('has ended')")
    assert [text for text in complaints if "ERR_" not in text] == []
