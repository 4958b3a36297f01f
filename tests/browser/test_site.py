"""The site as a reader meets it: from a folder, without a server and without a network."""

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from airbench_lab.site import build
from airbench_lab.site.explorer import explorer
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.slow

LESSONS = sorted(path.stem for path in (Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = ["index", "api", "benchmarks/README", "notebooks/assignments/README", "notebooks/airbench_lab/recorded/README"]
PAGES += ["notebooks/which_knob_next", *(f"notebooks/{lesson}" for lesson in LESSONS)]
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
KINDS = {"wide-light": (WIDE, "light"), "wide-dark": (WIDE, "dark"), "phone-light": (PHONE, "light")}
KINDS |= {"phone-dark": (PHONE, "dark")}
DARK = ["index", "api", "notebooks/02_whitening"]  # one page of each kind, for the faults that a theme makes
HEAVIEST = 1_500_000  # bytes of a page with all that it loads
MOST_MILLISECONDS = 100  # from a click to what it changed

# In the page: how long a click on a switch takes until all that it changes is laid out, and whether the curve did.
CLICK = """button => {
    const plot = document.querySelector('.airbench .plot svg'), before = plot.innerHTML, start = performance.now();
    button.click();
    document.body.getBoundingClientRect();
    return [performance.now() - start, plot.innerHTML !== before];
}"""

# As anywidget does it: the module's default export, a model and an element.
MOUNT = """async ([module, data]) => {
    const { default: widget } = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
    widget.render({ model: { get: (name) => ({ data })[name] }, el: document.body });
}"""


class Links(HTMLParser):
    """Of a page: what it links to, what it loads, the anchors that it has."""

    def __init__(self, page: Path):
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        loads = tag in ("script", "img") or (tag == "link" and found.get("rel") in ("stylesheet", "icon"))
        if loads and (address := found.get("src") or found.get("href")) and not address.startswith("data:"):
            self.loaded.append(address)


@pytest.fixture(scope="module")
def site(chromium_path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, "-m", "airbench_lab.cli", "site", "--out", out], check=True)
    return out


@pytest.fixture
def index(browser: Browser, site: Path) -> Iterator[Page]:
    page = browser.new_page(viewport=WIDE)
    page.goto((site / "index.html").as_uri())
    yield page
    page.close()


def test_every_internal_link_leads_somewhere(site):
    pages = {path: Links(path) for path in site.rglob("*.html")}
    assert {site / f"{page}.html" for page in PAGES} <= pages.keys()
    broken = []
    for path, page in pages.items():
        for link in page.links + page.loaded:
            address = urlsplit(link)
            if address.scheme:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchors = pages[target].anchors if target in pages else {address.fragment}
            if not target.exists() or address.fragment not in anchors:
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


def test_every_lesson_can_be_downloaded_as_it_is(site):
    for lesson in LESSONS:
        assert f"{lesson}.ipynb" in Links(site / "notebooks" / f"{lesson}.html").links
        original = Path(__file__).parents[2] / "notebooks" / f"{lesson}.ipynb"
        assert (site / "notebooks" / f"{lesson}.ipynb").read_bytes() == original.read_bytes()


def test_no_page_is_heavy(site):
    def weight(path: Path) -> int:
        loaded = {(path.parent / unquote(urlsplit(one).path)).resolve() for one in Links(path).loaded}
        return sum(file.stat().st_size for file in {path, *loaded})

    assert {path.name: weight(path) for path in site.rglob("*.html") if weight(path) > HEAVIEST} == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PAGES)
def test_page_opens_whole_and_accessible_and_asks_for_nothing_from_elsewhere(browser: Browser, site, name, kind):
    viewport, theme = KINDS[kind]
    page = browser.new_page(viewport=viewport, color_scheme=theme)
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / f"{name}.html").as_uri())
    if folder := os.environ.get("AIRBENCH_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name.replace('/', '-')}-{kind}.png")
    assert [url for url in asked if not url.startswith(("data:", site.as_uri()))] == []
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    if kind == "wide-light" or (kind == "phone-dark" and name in DARK):
        faults = Axe().run(page).response["violations"]
        serious = [one for one in faults if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"][:300]) for one in serious] == []
    page.close()


@pytest.mark.parametrize("name", ["index", f"notebooks/{LESSONS[0]}", f"notebooks/{LESSONS[9]}"])
def test_a_click_on_each_switch_changes_the_curve_at_once(browser: Browser, site, name):
    page = browser.new_page(viewport=WIDE)
    page.goto((site / f"{name}.html").as_uri())
    switches = page.get_by_role("switch").all()
    assert len(switches) == 6
    for switch in switches:
        milliseconds = []
        for checked in ("false", "true") * 3:
            took, changed = switch.evaluate(CLICK)
            assert changed
            expect(switch).to_have_attribute("aria-checked", checked)
            milliseconds.append(took)
        assert min(milliseconds) < MOST_MILLISECONDS  # the others may have waited for a busy machine
    page.close()


def test_the_ladder_grows_as_switches_are_thrown(index: Page):
    rungs = index.locator(".airbench .ladder tbody th")
    index.get_by_role("button", name="all off").click()
    assert rungs.all_inner_texts() == ["all off"]
    index.get_by_role("switch", name="alternating flip").click()
    index.get_by_role("switch", name="whitening").click()
    assert rungs.all_inner_texts() == ["all off", "+ alternating flip", "+ whitening"]
    index.get_by_role("switch", name="alternating flip").click()
    assert rungs.all_inner_texts() == ["all off", "+ whitening"]


def test_the_curve_is_read_by_keys_and_by_the_pointer(index: Page):
    plot, legend = index.get_by_role("slider"), index.locator(".airbench .legend")
    expect(legend).to_contain_text("at the end, with TTA")
    plot.press("ArrowRight")
    plot.press("ArrowRight")
    assert plot.get_attribute("aria-valuetext").startswith("after 2 epochs; airbench94: ")
    expect(legend).to_contain_text("after 2 epochs")
    plot.press("ArrowLeft")
    assert plot.get_attribute("aria-valuenow") == "1"
    plot.press("Escape")
    expect(legend).to_contain_text("at the end, with TTA")
    plot.hover(position={"x": 360, "y": 100})
    expect(legend).to_contain_text("after 8 epochs")


def test_the_module_mounts_as_a_widget_does_and_says_where_nothing_is_recorded(browser: Browser):
    page, said = browser.new_page(viewport=WIDE), []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.evaluate(MOUNT, [build.module(), explorer(["smoke"])])
    page.get_by_role("switch", name="Lookahead").click()
    assert page.locator(".numbers strong").all_inner_texts() == ["not recorded"] * 3
    assert page.locator(".ladder tbody td").all_inner_texts() == ["not recorded"] * 6
    assert page.get_by_role("link").count() == 0
    assert said == []
    page.close()


def test_what_was_not_recorded_is_said_with_the_command_that_records_it(index: Page):
    index.get_by_role("button", name="all off").click()
    index.get_by_role("switch", name="alternating flip").click()
    numbers = index.locator(".airbench .numbers")
    expect(numbers).to_contain_text("not recorded")
    expect(numbers).to_contain_text("airbench sweep airbench94 --set whiten=false --set identity_init=false")
