"""The page as a reader uses it: headless Chromium, keyboard, phone, dark mode, paper."""

import re

import pytest
from playwright.sync_api import sync_playwright

ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser(program):
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, page_file):
    """Opener of the page; afterwards nothing but the file may have been asked for."""
    contexts, complaints, requests = [], [], []

    def opened(**options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        page.locator("#verdict:not(:empty)").wait_for()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} == {page_file.as_uri()}


def widths(page):
    fills = page.locator("#bars .lane:not(.naive) .fill")
    return fills.evaluate_all("nodes => nodes.map(node => parseFloat(node.style.width))")


def number(page, selector="#figures .figure .value"):
    return float(re.match(r"[\d.]+", page.locator(selector).first.inner_text()).group())


def test_a_slider_moves_the_bars_and_the_way_back_restores_them(visit):
    page = visit()
    before, ratio = widths(page), number(page)
    series = page.locator("#series svg").inner_html()
    slider = page.locator("#belief-china")
    slider.focus()
    for _ in range(20):
        slider.press("ArrowRight")
    page.locator("#belief-china-value", has_text="\u00d72.00").wait_for()
    assert widths(page) != before
    assert number(page) > 1.5 * ratio
    assert page.locator("#series svg").inner_html() != series
    assert "on your settings" in page.locator("#sentence").inner_text()
    assert "the model\u2019s answer" in page.locator("#figures").inner_text()
    page.locator("#reset").click()
    page.locator("#belief-china-value", has_text="\u00d71 (model)").wait_for()
    assert widths(page) == before
    assert page.locator("#series svg").inner_html() == series


@pytest.mark.parametrize(
    ("belief", "key", "up"),
    [
        ("closed_us", "Home", True),
        ("closed_us", "End", False),
        ("china", "End", True),
        ("self_host", "End", True),
        ("price", "End", False),
    ],
)
def test_every_belief_moves_the_ratio_as_it_should(visit, belief, key, up):
    page = visit()
    before = number(page)
    page.locator(f"#belief-{belief}").press(key)
    page.locator("#reset:enabled").wait_for()
    assert (number(page) > before) == up
    # On the far side of its tick the lead has changed hands, and only there.
    flip = page.locator(f"#belief-{belief}-flip").inner_text()
    assert ("leads" in flip) == page.locator(f"#belief-{belief}-tick").is_visible()


def test_population_week_and_unit_switch(visit):
    page = visit()
    seen = {page.locator("#sentence").inner_text()}

    def changed():
        words = page.locator("#sentence").inner_text()
        new = words not in seen
        seen.add(words)
        return new

    page.get_by_label("Customers outside China, any API").check(force=True)
    page.get_by_text("Among customers outside China").wait_for()
    assert changed()
    page.get_by_label("Week that begins on").select_option(label="1 June 2026")
    page.get_by_text("In the week of 1 June 2026").wait_for()
    assert changed()
    page.get_by_label("dollars", exact=True).check(force=True)
    page.get_by_text("of the dollars on OpenRouter").wait_for()
    assert changed()
    page.locator("#later").click()
    page.get_by_text("In the week of 8 June 2026").wait_for()
    page.get_by_label("lab", exact=True).check(force=True)
    page.locator("#bars .label", has_text="Anthropic").wait_for()
    assert page.locator("#bars .bar").count() > 10


def test_a_click_in_the_series_chooses_the_week(visit):
    page = visit()
    box = page.locator("#series rect.pick").bounding_box()
    page.locator("#series rect.pick").click(position={"x": box["width"] / 2, "y": 40})
    page.locator("#sentence", has_not_text="7 September 2026").wait_for()
    assert page.locator("#week").input_value() != "52"


def test_a_population_without_evidence_shows_bounds_and_no_estimate(visit):
    page = visit()
    page.get_by_label("US start-ups").check(force=True)
    page.get_by_text("Not identified: US start-ups").wait_for()
    for part in ("#answer", "#beliefs", "#tipping-section"):
        assert not page.locator(part).is_visible()
    assert page.locator("#bounds .bound").count() >= 2
    assert page.locator("#bars .lane:not(.naive)").count() == 0
    page.locator("#bounds button").nth(1).click()
    assert "soa_geo_us" in page.locator("#sources").inner_text()


def test_every_number_opens_its_interval_and_sources(visit):
    page = visit()
    page.get_by_label("lab", exact=True).check(force=True)
    row = page.locator("#bars .bar", has_text="Anthropic")
    row.wait_for()
    row.locator("button.num").nth(1).click()
    text = page.locator("#sources").inner_text()
    assert "90\u00a0% interval [" in text
    assert "error of it from their number: ±" in text
    assert "A-R12" in text
    link = page.locator("#sources a").first
    assert link.get_attribute("href").startswith("https://")
    assert link.get_attribute("rel") == "noopener noreferrer"
    page.keyboard.press("Escape")
    assert not page.locator("#sources").is_visible()
    row.locator("button.num").nth(0).click()
    assert "CC BY 4.0" in page.locator("#sources").inner_text()
    page.locator("#close").click()
    for button in page.locator("#figures button.num").all():
        button.click()
        assert page.locator("#sources li").count() > 20
        page.keyboard.press("Escape")


def test_all_controls_are_reached_and_worked_by_keyboard(visit):
    page = visit()
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => document.activeElement.id || document.activeElement.name || ''")
        )
    assert {"population", "week", "earlier", "later", "unit", "by"} <= reached
    assert {f"belief-{b}" for b in ("closed_us", "china", "self_host", "price")} <= reached
    page.locator("input[name=population]:checked").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("Among customers outside China").wait_for()
    page.locator("#sentence button.num").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#sources").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("() => document.activeElement.className") in ("num", "")


@pytest.mark.parametrize("width", [320, 375])
def test_a_phone_scrolls_in_one_direction_only(visit, width):
    page = visit(viewport={"width": width, "height": 700}, is_mobile=True, has_touch=True)
    for choice in ("lab", "origin"):
        page.get_by_label(choice, exact=True).check(force=True)
        assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_label("US enterprises").check(force=True)
    page.get_by_text("Not identified: US enterprises").wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def contrast(page, selector):
    """Contrast of a text with the page's ground, after WCAG 2."""
    return page.evaluate(
        """selector => {
          const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const light = (text) => rgb(text).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
          const ink = light(getComputedStyle(document.querySelector(selector)).color);
          const paper = light(getComputedStyle(document.body).backgroundColor);
          return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }""",
        selector,
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(visit, scheme):
    page = visit(color_scheme=scheme)
    dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor") != (
        "rgb(255, 255, 255)"
    )
    assert dark == (scheme == "dark")
    for selector in ("#sentence", ".kicker", ".slider p", "#bars .naive .num", "dd"):
        assert contrast(page, selector) >= 4.5, selector


def test_it_prints_on_two_pages_without_controls(visit):
    page = visit()
    paper = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 2
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert page.locator("#bars").is_visible()
