"""Pages in a real browser: silent, whole, within their width; without scripts, framed, and on paper."""

from __future__ import annotations

import html
import re

import pytest

from tests.browser import DESK, PHONE, opened
from tests.page.sample import sample_page

FRAME = "<iframe sandbox=allow-scripts style='width:100%;height:700px'"
FRAMED = {
    "srcdoc": FRAME + ' srcdoc="{}"></iframe>',
    "blob": FRAME + "></iframe><textarea hidden>{}</textarea><script>"
    "const blob = new Blob([document.querySelector('textarea').value], {{type: 'text/html'}});"
    "document.querySelector('iframe').src = URL.createObjectURL(blob)</script>",
}
pytestmark = pytest.mark.slow

HEIGHTS = """() => [...document.querySelectorAll('.plot .tick')]
    .map((text) => text.getBoundingClientRect().height).filter((height) => height)"""
LIGHTNESS = "() => getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).slice(0, 3).map(Number)"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A page with everything there is, in a folder of its own."""
    path = tmp_path_factory.mktemp("page") / "a page #1.html"
    path.write_text(sample_page(), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "colours"), [(PHONE, "dark"), (DESK, "light")])
def test_everything_is_drawn_within_the_width_and_for_everybody(browser, file, width, colours):
    """Every plot, no text of it cut off or shrunk, in the colours of the system; and axe finds no fault."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, file, width=width, color_scheme=colours) as shown:
        assert (shown.undrawn, shown.cut_off) == ([], [])
        assert shown.overflow <= 0
        assert (sum(shown.page.evaluate(LIGHTNESS)) > 600) == (colours == "light")
        assert shown.page.title() == "flight_delay: v8 serves"
        heights = shown.page.evaluate(HEIGHTS)
        assert len(heights) > 30
        assert all(10 < height < 18 for height in heights)
        faults = axe.run(shown.page).response["violations"]
        assert [(each["id"], each["nodes"][0]["failureSummary"]) for each in faults] == []


def test_it_is_whole_without_scripts_and_on_paper(browser, file):
    """Nothing is offered that does not work; a link unfolds what it leads to; on paper nothing is folded."""
    with opened(browser, file, java_script_enabled=False) as shown:
        page = shown.page
        assert page.locator("button, input").count() == 0
        assert page.locator("table tbody tr").first.is_visible()
        assert not page.locator("#foreign").is_visible()
        page.locator(".contents a", has_text="Figures").click()
        page.locator("#foreign").wait_for(state="visible")
        assert not page.locator(".numbers table").first.is_visible()
        page.emulate_media(media="print")
        assert page.locator(".numbers table").first.is_visible()


def test_paper_is_white_and_nothing_sticks_to_it(browser, file):
    """Whatever colours the screen has; what was folded there is folded again afterwards."""
    with opened(browser, file, color_scheme="dark") as shown:
        page = shown.page
        folded = page.locator("details:not([open])").count()
        assert folded >= 4
        paper = page.pdf(format="A4")
        assert 3 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 12
        assert page.locator("details:not([open])").count() == folded
        page.emulate_media(media="print")
        assert page.locator("#foreign").is_visible()
        assert page.locator(".tools, .chosen, .copies > button").filter(visible=True).count() == 0
        assert page.locator(
            "th button"
        ).first.is_visible()  # the head of a table, whatever it does on a screen
        assert page.evaluate(LIGHTNESS) == [255, 255, 255]
        assert (
            page.evaluate("() => getComputedStyle(document.querySelector('.contents')).position") == "static"
        )


@pytest.mark.parametrize("kind", FRAMED)
def test_it_works_in_a_viewer_that_sandboxes_it(browser, tmp_path, kind):
    """There it has neither storage nor an address: links still lead within it, and colours still change."""
    viewer = tmp_path / "viewer.html"
    frame = FRAMED[kind].format(html.escape(sample_page()))
    viewer.write_text(f"<meta charset=utf-8>{frame}", encoding="utf-8")
    with opened(browser, viewer) as shown:
        frame = shown.page.frame_locator("iframe")
        frame.locator(".contents a", has_text="Figures").click()
        frame.locator("#foreign").wait_for(state="visible")
        assert frame.locator("h1").inner_text() == "flight_delay"
        assert frame.locator("#foreign").evaluate("(body) => body.getBoundingClientRect().top") < 700
        frame.get_by_role("button", name="Colours: system").click()
        assert frame.locator("html").get_attribute("data-theme") == "light"


def test_buttons_do_what_they_say_and_guests_stay_in_their_place(browser, file):
    """The choice of colours outlives the page; what others drew neither gives nor takes style and ids."""
    with opened(browser, file, color_scheme="dark") as shown:
        page = shown.page
        page.get_by_role("button", name="Colours: system").click()
        assert sum(page.evaluate(LIGHTNESS)) > 600
        page.reload()
        assert sum(page.evaluate(LIGHTNESS)) > 600
        page.get_by_role("button", name="Colours: light").click()
        assert sum(page.evaluate(LIGHTNESS)) < 200
        page.get_by_role("button", name="Unfold all").click()
        assert page.locator("details.section:not([open])").count() == 0
        assert page.locator(".foreign svg").count() == 2
        assert page.evaluate("() => document.getElementById('clip')") is None
        after = page.locator("#foreign > p", has_text="after")
        assert after.evaluate("(text) => getComputedStyle(text).color") != "rgb(255, 0, 0)"
        assert after.evaluate("(text) => getComputedStyle(text).display") == "block"
        page.get_by_role("button", name="Fold all").click()
        assert page.locator("details.section[open]").count() == 0


CHOSEN = """() => Object.fromEntries(['tr', '.row', '.point', '.span'].map((kind) => [kind,
    [...document.querySelectorAll(`${kind}.is-chosen`)].map((e) => +e.dataset.key).sort((a, b) => a - b)]))"""
SAID = "() => [...document.querySelectorAll('.row.is-chosen title')].map((title) => title.textContent)"


def chosen(page):
    """Keys of what stands out, by kind of mark."""
    return page.evaluate(CHOSEN)


def drag(page, box, start, end):
    """With the mouse, from one place within a box to another."""
    page.mouse.move(box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + end[0] * box["width"], box["y"] + end[1] * box["height"], steps=4)
    page.mouse.up()


def test_one_selection_is_shared_by_table_and_plots_and_copies_as_code(browser, file):
    """A ticked row, a clicked point and a brushed axis are the same choice."""
    with opened(browser, file) as shown:
        page = shown.page
        bar = page.locator(".chosen")
        assert not bar.is_visible()
        page.get_by_label("trial 13", exact=True).check()
        page.locator('.point[data-key="5"]').click()
        page.locator('tr[data-key="11"] td').last.click()
        assert chosen(page) == {
            "tr": [11, 13],
            ".row": [5, 11, 13],
            ".point": [5, 11, 13],
            ".span": [5, 11, 13],
        }
        assert bar.locator("code").inner_text() == "study.leaderboard().loc[[5, 11, 13]]"
        assert "3 of 40 trials" in bar.inner_text()
        bar.get_by_role("button", name="Copy").click()
        bar.get_by_role("button", name="Copied").wait_for()
        bar.get_by_role("button", name="Clear").click()
        assert chosen(page)[".row"] == []
        assert not bar.is_visible()


def test_a_range_of_an_axis_selects(browser, file):
    """Along parallel axes and along the course; several ranges meet; one that is let go selects no more."""
    with opened(browser, file) as shown:
        page = shown.page
        course = page.locator(".plot > svg[aria-label=course]")
        course.scroll_into_view_if_needed()
        drag(page, course.bounding_box(), (0.495, 0.02), (0.99, 0.4))
        assert chosen(page)[".row"] == list(range(20, 40))
        axes = page.locator(".plot.parallel > svg")
        axes.scroll_into_view_if_needed()
        handle = axes.locator(".brush").first
        drag(page, handle.bounding_box(), (0.5, 0.1), (0.5, 0.35))
        some = chosen(page)[".row"]
        assert 0 < len(some) < 20
        assert set(some) < set(range(20, 40))
        titles = page.evaluate(SAID)
        assert len({title.split(",")[0] for title in titles}) == 1
        course.scroll_into_view_if_needed()
        drag(page, course.bounding_box(), (0.3, 0.02), (0.3, 0.02))
        assert len(chosen(page)[".row"]) > len(some)


def test_a_header_sorts_its_column(browser, file):
    """Rising, then falling; what has no value stays last, and is told to a screen reader."""
    column = (
        "() => [...document.querySelectorAll('.selection tbody tr')].map((row) => row.cells[6].textContent)"
    )
    with opened(browser, file) as shown:
        page = shown.page
        before = page.evaluate(column)
        page.get_by_role("button", name="leaves").click()
        rising = page.evaluate(column)
        assert rising != before
        assert rising[:-1] == sorted(rising[:-1], key=int)
        page.get_by_role("button", name="leaves").click()
        assert page.evaluate(column) == [*rising[-2::-1], rising[-1]]
        assert page.locator('th[aria-sort="descending"]').inner_text().strip() == "leaves"
