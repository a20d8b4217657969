"""The page loads nothing, escapes what people call things, and links to what is there."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from coverslip.show.report.facts import (
    Headline,
    PatchPicture,
    Plot,
    ReportFacts,
    SlideEvidence,
    SlidePictures,
    Table,
)
from coverslip.show.report.page import page

PIXEL = "data:image/png;base64,iVBORw0KGgo="
NASTY = '<script src="https://example.org/x.js">&"\''


class Read(HTMLParser):
    """Collects elements, their attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Keep an element."""
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        """Leave it."""
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        """Keep text that is seen."""
        if self.open and self.open[-1] not in {"script", "style"}:
            self.words.append(data)

    def all(self, name):
        """Return the values of an attribute over all elements."""
        return [a[name] for _, a in self.elements if a.get(name)]


def evidence(slide_id="slide 1", **more):
    """Return a slide with pictures."""
    patch = PatchPicture("T1", PIXEL, (10, 20, 4), (100, 200), 1.0, 0.9)
    pictures = SlidePictures(
        (400, 300),
        PIXEL,
        "M0 0L9 9Z",
        PIXEL,
        PIXEL,
        "tumor",
        (40.0, "1 mm"),
        (patch,),
        (),
    )
    told = {
        "label": "tumor",
        "decided": "normal",
        "verdict": "wrong",
        "probability": "0.400",
        "calibrated": "0.300",
        "threshold": "0.500",
        "refer": "yes",
        "audit": {"asked": "0.5 µm/px", "read": "0.25 µm/px", "achieved": "0.5 µm/px"},
        "pictures": pictures,
        "shown": True,
    }
    return SlideEvidence(slide_id, **{**told, **more})


@pytest.fixture
def facts():
    """Return facts with something of everything, named as nastily as can be."""
    table = Table(NASTY, ("a", NASTY), (("1", NASTY),), frozenset({0}))
    plot = Plot("roc", NASTY, NASTY, '<svg viewBox="0 0 1 1"></svg>', (table,))
    return ReportFacts(
        study=NASTY,
        run=NASTY,
        model=NASTY,
        score=NASTY,
        headlines=(Headline(NASTY, NASTY, NASTY),),
        notes=(NASTY,),
        cohort=(table,),
        judged=(plot,),
        comparison=(replace(plot, key="comparison", svg="", missing=NASTY),),
        slides=(evidence(NASTY, label=NASTY, decided=NASTY), evidence("two")),
        slides_note=NASTY,
        provenance=(table,),
        commands=((NASTY, NASTY),),
    )


def test_nothing_is_loaded_from_anywhere(facts):
    """Sources are data, links lead into the page, and no style fetches a thing."""
    text = page(facts)
    read = Read(text)
    assert all(source.startswith("data:image/") for source in read.all("src"))
    links = read.all("href")
    assert links
    assert all(link.startswith(("#", "data:image/")) for link in links)
    tags = {tag for tag, _ in read.elements}
    assert not tags & {"link", "iframe", "object", "embed", "base", "form"}
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "@import" not in style
    assert "url(" not in style
    script = "".join(re.findall(r"<script>(.*?)</script>", text, re.DOTALL))
    assert not re.search(r"fetch|XMLHttp|import\(|http", script)


def test_what_people_call_things_stays_text(facts):
    """A slide, class or command that is written as HTML is shown as it is written."""
    read = Read(page(facts))
    scripts = [a for tag, a in read.elements if tag == "script"]
    assert scripts == [{}]  # ours, without a source
    assert "".join(read.words).count(NASTY) > 20


def test_links_lead_to_what_is_there_and_ids_are_used_once(facts):
    """Every anchor has its element, and no id stands twice."""
    read = Read(page(facts))
    ids = read.all("id")
    assert len(ids) == len(set(ids))
    anchors = {link[1:] for link in read.all("href") if link.startswith("#")}
    assert anchors <= set(ids)


def test_a_slide_tells_its_probability_flag_and_scale(facts):
    """They stand in the list and in the slide's own section."""
    words = " ".join(Read(page(facts)).words)
    for told in ("0.400", "refer to a person", "0.25 µm/px", "wrong", "against 0.500"):
        assert told in words


def test_a_slide_without_pictures_says_why(facts):
    """The reason stands where the pictures would be."""
    bare = evidence("gone", pictures=None, missing="the slide was moved")
    words = " ".join(Read(page(replace(facts, slides=(bare,)))).words)
    assert "No pictures: the slide was moved" in words


def test_a_slide_that_is_only_listed_has_no_section(facts):
    """What is not shown is a row without a link."""
    listed = evidence("listed", shown=False)
    read = Read(page(replace(facts, slides=(listed,))))
    assert "article" not in {tag for tag, _ in read.elements}
    assert "#s1" not in read.all("href")


def test_a_report_of_nothing_is_a_page_still():
    """Without figures and slides it says so."""
    words = " ".join(Read(page(ReportFacts("study", "run", "model", "p"))).words)
    assert "Nothing to judge" in words


def test_pictures_have_a_text_for_those_who_do_not_see_them(facts):
    """Every image has one, and every drawing is named."""
    read = Read(page(facts))
    assert all(a.get("alt") for tag, a in read.elements if tag == "img")
    roles = [a for _, a in read.elements if a.get("role") == "img"]
    assert roles
    assert all(a.get("aria-label") for a in roles)


def test_keys_break_after_dots_and_underscores_only(facts):
    """Not within a word."""
    table = Table("of", ("key", "value"), (("tissue.saturation_min", "a_b"),))
    text = page(replace(facts, provenance=(table,)))
    assert "<td>tissue.<wbr>saturation_<wbr>min</td><td>a_b</td>" in text


LONG = "a rather long heading "


@pytest.fixture
def laid(facts, tmp_path):
    """Return a report with five figures, and tables too wide for their places."""
    wide = Table(
        LONG * 3, tuple(f"{LONG} {i}" for i in range(8)), (("0.123 (0.1 to 0.2)",) * 8,)
    )
    keys = Table("of", ("key", "value"), tuple((f"tissue.{i}", "7") for i in range(40)))
    drawing = '<svg viewBox="0 0 100 80" style="max-width: 300pt"></svg>'
    few = replace(keys, rows=keys.rows[:4])
    path = tmp_path / "report.html"
    made = replace(
        facts,
        judged=tuple(Plot(f"p{i}", "A", "", drawing, (wide,)) for i in range(5)),
        comparison=(Plot("runs-all", "Runs", "", drawing, (wide,), broad=True),),
        slides=tuple(evidence(f"painted_{i}") for i in range(3)),
        slides_caption=LONG * 9,
        cohort=(few,),
        provenance=(few, few, keys, few),
    )
    path.write_text(page(made), encoding="utf-8")
    return path.as_uri()


BOXES = (
    "name => [...document.querySelectorAll(name)].map(e => e.getBoundingClientRect())"
    ".map(b => [b.left, b.top, b.right, b.bottom].map(Math.round))"
)
HIDDEN = (
    "() => [...document.querySelectorAll('.scroll, caption')]"
    ".filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
)


@pytest.mark.slow
def test_on_a_phone_nothing_lies_off_screen(chromium, laid):
    """Of each slide p, flag, verdict and calibrated; captions wrap, wide tables stack."""
    opened = chromium.new_page(viewport={"width": 390, "height": 800})
    opened.goto(laid)
    opened.evaluate(
        "() => document.querySelectorAll('details').forEach(d => d.open = 1)"
    )
    assert opened.evaluate("() => document.documentElement.scrollWidth") == 390
    assert opened.evaluate(HIDDEN) == []
    for name in (".p", "td.flag", "td.verdict", ".calibrated", "th[scope=row]"):
        boxes = opened.evaluate(BOXES, f"#slide-list tbody {name}")
        assert len(boxes) == 3
        assert all(0 <= left < right <= 390 for left, _, right, _ in boxes)
    opened.close()


@pytest.mark.slow
def test_a_wide_page_has_no_holes(chromium, laid):
    """Rows of figures end where the page ends, and long tables take both columns."""
    opened = chromium.new_page(viewport={"width": 1500, "height": 900})
    opened.goto(laid)
    ((_, _, edge, _),) = opened.evaluate(BOXES, ".plots")
    rows = {}
    for _, top, right, bottom in opened.evaluate(BOXES, ".plots > .plot"):
        rows.setdefault(top, []).append((right, bottom))
    assert [len(row) for row in rows.values()] == [3, 2]
    for row in rows.values():
        assert max(right for right, _ in row) == edge
        assert len({bottom for _, bottom in row}) == 1
    lines = opened.evaluate(BOXES, "#provenance tbody tr")
    ends = {}
    for left, _, _, bottom in lines:
        ends[left] = max(bottom, ends.get(left, 0))
    assert len(ends) == 2
    assert max(ends.values()) - min(ends.values()) < 150
    opened.close()
