"""In a real browser: the page shows what it should, where it should, and links hold."""

import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image

from coverslip.errors import MissingExtraError
from coverslip.tables import read_csv, write_csv
from coverslip.viewer.assets import find_openseadragon
from coverslip.viewer.view_options import ViewOptions
from coverslip.viewer.viewing import view
from viewer_client import LESION_BOX, served

READY = "#stage[data-ready='{0}'][data-loaded='{0}']"
SLIDE = "slide_01"
HARMLESS = re.compile("Ignoring tile .* loaded before reset|Applying inline style")
"""What OpenSeadragon says when one slide follows another, and of its own style sheet."""
FAULT = "broken.svs: not a slide that can be read"
YELLOW = np.array([255, 212, 0])

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(finished, annotations) -> Iterator[str]:
    """Return where the finished study is shown, with the real OpenSeadragon, or skip."""
    try:
        find_openseadragon()
    except MissingExtraError as error:
        pytest.skip(str(error))
    options = ViewOptions(port=0, device="cpu")
    with served(view(finished, options, annotations=annotations)) as client:
        yield client.viewing.url


@pytest.fixture(scope="module")
def elsewhere(finished, tmp_path_factory) -> Iterator[str]:
    """Return where a study with a failed slide is shown to others, under a name."""
    try:
        find_openseadragon()
    except MissingExtraError as error:
        pytest.skip(str(error))
    study = tmp_path_factory.mktemp("elsewhere") / "study"
    shutil.copytree(finished, study)
    table = read_csv(study / "slides.csv")
    failed = {**dict.fromkeys(table[0], ""), "slide_id": "slide_99", "status": "failed"}
    table.append({**failed, "path": str(study / "broken.svs"), "error": FAULT})
    write_csv(study / "slides.csv", list(table[0]), table)
    options = ViewOptions(host="0.0.0.0", port=0, device="cpu")
    with served(view(study, options)) as client:
        yield client.viewing.url.replace("127.0.0.1", "box.lan")


@pytest.fixture(scope="module")
def opened(chromium) -> Iterator[object]:
    """Return a page, what it complains of, and what it asks for."""
    page = chromium.new_page(
        viewport={"width": 1300, "height": 800}, reduced_motion="reduce"
    )
    complaints, elsewhere = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            None if HARMLESS.search(said.text) else complaints.append(said.text)
        ),
    )
    page.on("request", lambda asked: elsewhere.append(asked.url))
    yield page, complaints, elsewhere
    page.close()


@pytest.fixture
def page(opened, address) -> Iterator[object]:
    """Return a page that went nowhere else, and had nothing to complain of."""
    page, complaints, elsewhere = opened
    complaints.clear()
    elsewhere.clear()
    yield page
    assert complaints == []
    own = (address, "data:", "blob:")
    assert [url for url in elsewhere if not url.startswith(own)] == []


def go(page, address, link="", slide=SLIDE):
    """Open a link, and wait until slide, outlines, scores and tiles are there."""
    if not page.url.startswith(address):
        page.goto(address)
        page.locator("#stage:not([data-ready=''])[data-ready]").wait_for()
    page.evaluate(
        "to => { document.getElementById('stage').dataset.ready = '';"
        " location.hash = `${to}&nonce=${Math.random()}`; }",
        f"slide={slide}&{link}",
    )
    page.locator(READY.format(slide)).wait_for(timeout=60_000)
    settle(page)


def settle(page):
    """Wait until what was asked for is on screen: two frames, and all tiles again."""
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame("
        "() => requestAnimationFrame(done)))"
    )
    page.locator("#stage:not([data-loaded=''])").wait_for()


def link(page):
    """Return what the address says of the view."""
    said = parse_qs(urlsplit(page.url).fragment)
    return {name: values[0] for name, values in said.items()}


def stage(page):
    """Return slide and overlays as they look now: (height, width, 3) integers.

    Without what lies in front of them: scale bar, overview, the mark of the focus.
    """
    page.evaluate(
        "() => { for (const id of ['scale', 'navigator'])"
        " document.getElementById(id).hidden = true;"
        " document.activeElement.blur(); }"
    )
    box = page.locator("#deep").bounding_box()
    picture = Image.open(BytesIO(page.screenshot(clip=box))).convert("RGB")
    return np.asarray(picture).astype(int)


def edges(mask):
    """Return where a blob of true begins and ends: left, top, right, bottom."""
    xs, ys = np.flatnonzero(mask.mean(0) > 0.02), np.flatnonzero(mask.mean(1) > 0.02)
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def expected(shape, x, y, z):
    """Return where the painted lesion must be on screen, by the link alone."""
    height, width = shape[:2]
    left, top, right, bottom = LESION_BOX
    middle = np.array([width / 2, height / 2] * 2)
    return (np.array([left, top, right, bottom]) - [x, y, x, y]) * z + middle


def corner(picture, inside):
    """Return the left and the upper edge of a blob of which only a corner is on screen."""
    mask = inside(picture)
    xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return int(xs[0]), int(ys[0])


def is_painted(picture):
    """Say which pixels are tissue, not glass."""
    return picture[..., 1] < 165


BARE = "heat=0&tissue=0&lesions=0"


@pytest.mark.parametrize("z", [0.37, 1, 3.3])
def test_the_overlay_lies_on_the_painted_lesion(page, address, z):
    """At three zoom levels slide, heatmap and annotation have their edges at one place.

    The link says where level 0 is on screen; the painted edge, the patches' edge and the
    middle of the drawn outline must be there, to a pixel.
    """
    x, y = (512, 512) if z < 1 else (LESION_BOX[0] + 20, LESION_BOX[1] + 30)
    where = f"x={x}&y={y}&z={z}"
    go(page, address, f"{where}&{BARE}")
    bare = stage(page)
    must = expected(bare.shape, x, y, z)
    painted = corner(bare, is_painted)
    assert np.abs(np.array(painted) - must[:2]).max() <= 1

    go(page, address, f"{where}&tissue=0&lesions=0&opacity=1&low=0")
    covered = corner(stage(page), lambda now: np.abs(now - bare).max(-1) > 40)
    assert np.abs(np.array(covered) - must[:2]).max() <= 1

    go(page, address, f"{where}&heat=0&tissue=0")
    drawn = np.abs(stage(page) - YELLOW).max(-1) < 40
    rows = slice(int(must[1]) + 10, int(must[1]) + 90)
    columns = slice(int(must[0]) + 10, int(must[0]) + 90)
    across = np.flatnonzero(drawn[rows, : int(must[0]) + 10].any(0)) + 0.5
    down = np.flatnonzero(drawn[: int(must[1]) + 10, columns].any(1)) + 0.5
    assert abs(across.mean() - must[0]) <= 1
    assert abs(down.mean() - must[1]) <= 1
    if z < 1:
        whole = edges(is_painted(bare))
        assert np.abs(np.array(whole) - must).max() <= 1


def test_the_slide_opens_whole_and_zooms(page, address):
    """All of it is on screen at first; plus comes nearer, zero goes back."""
    go(page, address, BARE)
    first = float(link(page)["z"])
    picture = stage(page)
    left, top, right, bottom = edges(is_painted(picture))
    height, width = picture.shape[:2]
    assert 0 < left < right < width
    assert 0 < top < bottom < height
    page.keyboard.press("+")
    page.wait_for_timeout(250)
    assert float(link(page)["z"]) == pytest.approx(1.5 * first, rel=0.02)
    page.keyboard.press("0")
    page.wait_for_timeout(250)
    assert float(link(page)["z"]) == pytest.approx(first, rel=0.01)


def test_the_wheel_zooms_where_the_pointer_is(page, address):
    """What is under it stays under it."""
    go(page, address, f"x=512&y=512&z=0.5&{BARE}")
    box = page.locator("#deep").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    before = {name: float(value) for name, value in link(page).items() if name in "xyz"}
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(400)
    after = {name: float(value) for name, value in link(page).items() if name in "xyz"}
    assert after["z"] > 1.1 * before["z"]
    for name, at, side in (("x", 300, box["width"]), ("y", 200, box["height"])):
        under = [said[name] + (at - side / 2) / said["z"] for said in (before, after)]
        assert under[0] == pytest.approx(under[1], abs=1.5)


def test_opacity_mixes_heatmap_and_slide(page, address):
    """None is the slide, all is the colour map, half is the mean of both."""
    where = "x=512&y=512&z=0.37&tissue=0&lesions=0"
    pictures = []
    for opacity in (0, 0.5, 1):
        go(page, address, f"{where}&opacity={opacity}")
        pictures.append(stage(page))
    none, half, full = pictures
    inside = np.s_[260:300, 420:460]
    assert np.abs(full[inside] - none[inside]).mean() > 25
    mean = (none[inside] + full[inside]) / 2
    assert np.abs(half[inside] - mean).max() <= 2


def test_the_threshold_hides_what_is_below(page, address):
    """From 0.5 of the rank on, two of four patches are left."""
    where = "x=512&y=512&z=0.37&tissue=0&lesions=0&opacity=1&show=attention"
    covered = []
    go(page, address, f"{where}&heat=0")
    bare = stage(page)
    for low in (0, 0.5):
        go(page, address, f"{where}&low={low}")
        covered.append((np.abs(stage(page) - bare).max(-1) > 40).sum())
    assert covered[1] == pytest.approx(covered[0] / 2, rel=0.03)


def test_attention_or_score_by_key_and_by_choice(page, address):
    """Another measure has other colours, and the link says which."""
    go(page, address, "x=512&y=512&z=0.37&opacity=1")
    attention = stage(page)
    page.keyboard.press("s")
    settle(page)
    assert link(page)["show"] == "score:1"
    assert (
        page.locator("#show").evaluate("e => e.selectedOptions[0].text")
        == "score: tumor"
    )
    assert np.abs(stage(page) - attention).mean() > 5
    page.locator("#show").select_option("attention")
    settle(page)
    assert np.abs(stage(page) - attention).mean() < 0.5
    page.locator("#map").select_option("cividis")
    assert link(page)["map"] == "cividis"


def test_top_patches_come_in_order_of_rank(page, address):
    """Next and previous step through them, centred, and their facts are told."""
    go(page, address, "x=100&y=100&z=0.5")
    page.locator("#deep").click(position={"x": 5, "y": 5})
    for step, rank in (("n", 1), ("n", 2), ("n", 3), ("p", 2)):
        page.keyboard.press(step)
        text = page.locator("#patch").inner_text()
        assert f"{rank} of 4" in text
        assert "Score tumor" in text
    page.wait_for_timeout(250)
    said = link(page)
    told = re.search(r"Level-0 corner\s+(\d+), (\d+)", text)
    assert told
    assert float(said["x"]) == pytest.approx(int(told[1]) + 128, abs=1)
    assert float(said["y"]) == pytest.approx(int(told[2]) + 128, abs=1)


def test_a_click_tells_of_the_patch_under_it(page, address):
    """The corner of the patch that was hit; beside all patches, of none."""
    go(page, address, "x=512&y=512&z=0.5")
    box = page.locator("#deep").bounding_box()
    at = {"x": box["width"] / 2 + 60, "y": box["height"] / 2 - 60}
    page.locator("#deep").click(position=at)
    page.locator("#patch", has_text="512, 256").wait_for()
    assert "of 4" in page.locator("#patch").inner_text()
    page.locator("#deep").click(position={"x": 8, "y": 8})
    page.locator("#patch .hint").wait_for()
    assert "patch" not in link(page)


def test_a_link_reproduces_the_view(page, address, chromium):
    """Another browser that opens it shows the same pixels, of slide, overlay and panel."""
    go(page, address, slide="slide_03")
    page.keyboard.press("s")
    page.keyboard.press("m")
    page.keyboard.press("]")
    page.keyboard.press(".")
    page.keyboard.press("t")
    page.keyboard.press("n")
    page.wait_for_timeout(400)
    settle(page)
    shown, said = stage(page), page.locator("#panel").inner_text()
    other = chromium.new_page(viewport={"width": 1300, "height": 800})
    other.goto(page.url)
    other.locator(READY.format("slide_03")).wait_for()
    settle(other)
    assert other.url == page.url
    assert other.locator("#panel").inner_text() == said
    assert np.abs(stage(other) - shown).mean() < 1
    other.close()


def test_a_link_is_followed_though_the_view_still_moves(page, address):
    """A moving view writes the address anew before the browser tells of the link."""
    go(page, address, slide="slide_03")
    page.evaluate(
        "to => { const before = location.hash;"
        " document.getElementById('stage').dataset.ready = ''; location.hash = to;"
        " history.replaceState(null, '', before); }",
        f"slide={SLIDE}",
    )
    page.locator(READY.format(SLIDE)).wait_for(timeout=20_000)
    settle(page)
    assert link(page)["slide"] == SLIDE


def test_the_list_is_searched_and_sorted(page, address, finished):
    """By text, by probability, by error; the keys step through what is shown."""
    from studies import predictions

    said = predictions(finished)
    go(page, address)
    ids = page.locator("#list .id")
    assert ids.all_text_contents() == sorted(said)
    page.locator("#sort").select_option("high")
    by_chance = sorted(said, key=lambda k: (-float(said[k]["probability_tumor"]), k))
    assert ids.all_text_contents() == by_chance
    page.locator("#sort").select_option("error")
    missed = {k: 1 - float(r[f"probability_{r['label']}"]) for k, r in said.items()}
    assert ids.all_text_contents() == sorted(said, key=lambda k: (-missed[k], k))
    page.keyboard.press("/")
    page.keyboard.type("tumor test")
    wanted = {
        k for k, r in said.items() if (r["label"], r["split"]) == ("tumor", "test")
    }
    found = set(ids.all_text_contents())
    assert wanted <= found < set(said)
    assert page.locator("#count").inner_text() == f"{len(found)} of 10 slides"
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    first = ids.all_text_contents()[0]
    page.locator(READY.format(first)).wait_for()
    assert link(page)["slide"] == first


def test_help_and_names_for_screen_readers(page, address):
    """The question mark tells the keys; everything that can be used has a name."""
    go(page, address)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.wait_for()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    nameless = page.evaluate(
        "() => [...document.querySelectorAll('button, input, select')].filter(e =>"
        " !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map(e => e.id)"
    )
    assert nameless == []


def test_it_fits_a_phone(chromium, address):
    """Nothing is wider than the screen; list and settings come when called."""
    page = chromium.new_page(viewport={"width": 390, "height": 780})
    page.goto(f"{address}#slide={SLIDE}")
    page.locator(READY.format(SLIDE)).wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    assert not page.locator("#side").is_visible()
    page.locator("#drawer").click()
    page.get_by_role("button", name="slide_04").click()
    page.locator(READY.format("slide_04")).wait_for()
    page.locator("#side").wait_for(state="hidden")
    said = page.locator("#verdict")
    assert said.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert said.inner_text().startswith(("probability of tumor 0.", "wrong · prob"))
    assert page.locator("#copy").is_visible()
    page.locator("#settings").click()
    page.locator("#opacity").wait_for()
    page.close()


def test_a_failed_slide_says_why(chromium, elsewhere):
    """In the list, in the headline and in place of the slide, on a phone too."""
    page = chromium.new_page(viewport={"width": 390, "height": 780})
    page.goto(elsewhere)
    page.locator("#stage:not([data-ready=''])[data-ready]").wait_for()
    page.locator("#drawer").click()
    page.get_by_role("button", name="slide_99").click()
    page.locator("#stage[data-ready='slide_99']").wait_for()
    assert FAULT in page.locator("#list [data-id=slide_99] .said").text_content()
    assert page.locator("#verdict").inner_text().startswith(f"failed: {FAULT}")
    assert page.locator("#notice").inner_text() == f"failed: {FAULT}"
    page.close()


def test_links_are_copied_where_browsers_keep_the_clipboard(chromium, elsewhere):
    """Without TLS the older way is tried, and then the link is there, selected."""
    page = chromium.new_page(viewport={"width": 1300, "height": 800})
    errors = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(elsewhere)
    page.locator("#stage:not([data-ready=''])[data-ready]").wait_for()
    assert not page.evaluate("() => window.isSecureContext")
    page.locator("#copy").click()
    page.locator("#notice", has_text="link copied").wait_for()
    page.evaluate("() => { document.execCommand = () => false; }")
    page.locator("#copy").click()
    page.get_by_role("dialog", name="Link to this view").wait_for()
    assert page.evaluate("() => getSelection().toString()") == page.url
    assert errors == []
    page.close()


def test_hardly_any_attention_is_said_in_words(page, address):
    """What is below four decimals of it, and two of its share of the mean."""
    page.goto(address)
    told = page.evaluate(
        "async () => { const { Panel } = await import('/page/panel.js');"
        " const state = { patch: 0, show: 'attention' };"
        " const patch = (attention) => { Panel.prototype.patch.call({ state }, {"
        " x: [0, 0], y: [0, 0], attention: [attention, 1], classes: [], chances: [] },"
        " { place: [0, 1], values: [0, 1] });"
        " return document.getElementById('patch').innerText.replace(/\\s+/g, ' '); };"
        " return [patch(4.34e-18), patch(0.25)]; }"
    )
    assert "Attention < 0.0001 × mean attention < 0.01 " in told[0]
    assert "Attention 0.250 × mean attention 0.500 " in told[1]


def test_an_unknown_slide_is_told_on_the_page(page, address):
    """A link to a slide that is gone says so."""
    page.goto(f"{address}#slide=nobody")
    page.locator("#notice", has_text="nobody: no such slide").wait_for()
