"""Over HTTP: what is served, and above all what is not."""

import json
import socket
from io import BytesIO
from pathlib import Path

import openslide
import pytest
from PIL import Image

from coverslip.errors import OptionError
from coverslip.testing import slide_file
from coverslip.viewer.assets import page_files
from coverslip.viewer.view_options import PORT, ViewOptions
from coverslip.viewer.viewing import view
from viewer_client import served

TILE = "/api/slides/slide_00/tiles/10/1/1.jpg"
PLACES = ("/", "/openseadragon.js", "/api/study", "/api/slides", "/api/slides/slide_00")


def told(client, target, **headers):
    """Return the JSON of an answer that must be good."""
    answer = client.ask(target, **headers)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_the_page_and_its_files_are_served(client, script):
    """With their kinds, and OpenSeadragon as it is on disk."""
    assert b"<!doctype html>" in client.ask("/").body
    assert client.ask("/openseadragon.js").body == script.read_bytes()
    for name, path in page_files().items():
        answer = client.ask(f"/page/{name}")
        assert answer.body == path.read_bytes()
        assert "charset" in answer.headers.getheader("Content-Type") or "svg" in name


def test_a_tile_is_the_slides_pixels(client):
    """A JPEG of a tile and its overlap, of the tissue that was painted there."""
    answer = client.ask(TILE)
    assert answer.headers.getheader("Content-Type") == "image/jpeg"
    picture = Image.open(BytesIO(answer.body))
    assert picture.size == (256, 256)
    assert picture.resize((1, 1), Image.Resampling.BOX).getpixel(
        (0, 0)
    ) == pytest.approx((196, 118, 176), abs=6)


OUTSIDE = (
    "/../slides.csv",
    "/..%2fslides.csv",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/page/../evidence.py",
    "/page/..%2fevidence.py",
    "/page/%2e%2e%2fevidence.py",
    "/page/..%5cevidence.py",
    "/page//etc/passwd",
    "/page/%2fetc%2fpasswd",
    "/page/index.html%00.js",
    "/etc/passwd",
    "//etc/passwd",
    "/slides.csv",
    "/runs/dmia/model.safetensors",
    "/api/slides/..%2f..%2fslide_00",
    "/api/slides/..",
    "/api/slides/%2e%2e/outlines",
    "/api/slides/%2Fetc%2Fpasswd",
    "/api/slides/slide_00.tif",
    "/api/slides/slide_00/../slide_01/",
    "/api/slides/slide_00/outlines/..%2f..",
    "/api/slides/nobody",
    "/api/slides/nobody/outlines",
    "/api/slides/nobody/tiles/0/0/0.jpg",
    "/api/slides?run=..%2f..",
    "/api/slides?run=nobody",
    "/api/slides/slide_00/scores?run=..%2fruns%2fdmia",
    "/api/slides/slide_00/scores",
    "/api/slides/nobody/scores?run=dmia",
    "/api/slides/slide_00/tiles/10/9/9.jpg",
    "/api/slides/slide_00/tiles/99/0/0.jpg",
    "/api/slides/slide_00/tiles/-1/0/0.jpg",
    "/api/slides/slide_00/tiles/1e1/0/0.jpg",
    "/api/slides/slide_00/tiles/10/0/0.png",
    "/api/slides/slide_00/tiles/10/0/..%2f0.jpg",
    "/api/slides/slide_00/label",
    "/api/slides/slide_00/macro",
    "/api/slides/slide_00/thumbnail",
    "/api/slides/slide_00/associated/label.jpg",
    "/api/slides/slide_00/tiles/label.jpg",
    "/",
)


@pytest.mark.parametrize("target", OUTSIDE[:-1])
def test_nothing_but_the_known_addresses_is_there(client, target):
    """No path, however it is written, leads to a file; no id but those of the table."""
    answer = client.ask(target)
    assert answer.status == 404, answer.body
    assert b"root:" not in answer.body
    assert len(answer.body) < 200


def test_slides_are_opened_by_the_table_only(client, finished, monkeypatch):
    """Whatever is asked for, no other file is opened than those of `slides.csv`."""
    from coverslip.viewer import evidence

    seen = []
    real = evidence.open_slide

    def watched(path, *more):
        seen.append(path)
        return real(path, *more)

    monkeypatch.setattr(evidence, "open_slide", watched)
    for target in (*OUTSIDE, TILE, "/api/slides/slide_05"):
        client.ask(target)
    named = {Path(row["path"]) for row in evidence.Evidence(finished).slides().values()}
    assert set(seen) <= named


@pytest.fixture(scope="session")
def with_label(real_data, tmp_path_factory, script):
    """Return a client of a study whose slide has label and macro pictures."""
    slide = real_data / "slides" / "CMU-1-Small-Region.svs"
    assert {"label", "macro"} <= set(openslide.OpenSlide(slide).associated_images)
    study = tmp_path_factory.mktemp("labelled")
    (study / "slides.csv").write_text(f"slide_id,path,mpp\nCMU,{slide},0.499\n")
    with served(view(study, ViewOptions(port=0), openseadragon=script)) as one:
        yield one


def test_label_and_macro_are_never_touched(with_label, monkeypatch):
    """They show who the patient is: no address reads them, and no tile shows them."""

    def refuse(_):
        raise AssertionError("a label was asked for")

    monkeypatch.setattr(openslide.OpenSlide, "associated_images", property(refuse))
    facts = told(with_label, "/api/slides/CMU")
    assert (facts["width"], facts["height"]) == (2220, 2967)
    for level in range(facts["top"] + 1):
        answer = with_label.ask(f"/api/slides/CMU/tiles/{level}/0/0.jpg")
        assert answer.status == 200
    for name in ("label", "macro", "thumbnail"):
        for target in (
            name,
            f"{name}.jpg",
            f"associated/{name}",
            f"tiles/{name}/0/0.jpg",
        ):
            assert with_label.ask(f"/api/slides/CMU/{target}").status == 404


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
)
@pytest.mark.parametrize("target", ["/", "/api/study", TILE])
def test_nothing_can_be_changed(client, method, target):
    """Every method but GET and HEAD is refused."""
    answer = client.ask(target, method)
    assert answer.status == 405
    assert answer.headers.getheader("Allow") == "GET, HEAD"


def test_an_unknown_method_is_refused_with_the_same_headers(client):
    """Whatever the library answers itself is as guarded as the rest."""
    answer = client.ask("/", "BREW")
    assert answer.status == 501
    assert "default-src 'none'" in answer.headers.getheader("Content-Security-Policy")


def test_head_says_how_much_and_sends_nothing(client):
    """As GET, without the body."""
    answer = client.ask("/", "HEAD")
    assert answer.status == 200
    assert answer.body == b""
    assert int(answer.headers.getheader("Content-Length")) > 1000


@pytest.mark.parametrize("target", [*PLACES, TILE, "/nothing", "/api/slides/nobody"])
def test_every_answer_is_guarded(client, target):
    """Nothing from elsewhere, no frame around it, no copy on the user's disk."""
    header = client.ask(target).headers.getheader
    assert "default-src 'none'" in header("Content-Security-Policy")
    assert "frame-ancestors 'none'" in header("Content-Security-Policy")
    assert header("Cache-Control") == "no-store"
    assert header("X-Content-Type-Options") == "nosniff"
    assert header("Cross-Origin-Resource-Policy") == "same-origin"
    assert header("Access-Control-Allow-Origin") is None
    assert header("Server") == "coverslip"


@pytest.mark.parametrize("target", [*PLACES, TILE])
def test_a_foreign_name_gets_nothing(client, target):
    """A site that gives its own name this machine's address is refused."""
    for host in ("evil.example", "evil.example:80", "localhost.evil.example"):
        assert client.ask(target, Host=host).status == 403


def test_listening_to_others_needs_the_token(finished, script):
    """Everywhere, by address or cookie; the address it opens sets the cookie."""
    options = ViewOptions(host="0.0.0.0", port=0)
    with served(view(finished, options, openseadragon=script)) as client:
        token = client.viewing.server.guard.token
        assert token
        assert client.viewing.url.endswith(f"/?token={token}")
        for target in (*PLACES, TILE):
            assert client.ask(target, Host="box.lan").status == 403
            assert client.ask(f"{target}?token=guess", Host="box.lan").status == 403
        answer = client.ask(f"/?token={token}", Host="box.lan")
        assert answer.status == 303
        assert answer.headers.getheader("Location") == "/"
        cookie = answer.headers.getheader("Set-Cookie")
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        kept = {"Host": "box.lan", "Cookie": cookie.partition(";")[0]}
        alone = "Cross-Origin-Opener-Policy"  # browsers complain where they ignore it
        assert client.ask("/", **kept).headers.getheader(alone) is None
        at_home = {**kept, "Host": "localhost"}
        assert client.ask("/", **at_home).headers.getheader(alone) == "same-origin"
        for target in (*PLACES, TILE):
            assert client.ask(target, **kept).status == 200


def test_a_token_can_be_asked_for_on_this_machine(finished, script):
    """Where others log in to it, too."""
    options = ViewOptions(port=0, token=True)
    with served(view(finished, options, openseadragon=script)) as client:
        assert client.ask("/").status == 403


def test_only_this_machine_is_listened_to_unless_told(finished, script):
    """The socket itself is bound to loopback, without a token."""
    viewing = view(finished, ViewOptions(port=0), openseadragon=script)
    with served(viewing):
        assert viewing.server.socket.getsockname()[0] == "127.0.0.1"
        assert "token" not in viewing.url


def test_a_port_that_is_taken_is_told_or_passed_over(finished, script):
    """A named one is refused in one line; the usual one is only the first choice."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OptionError, match=f"port {port} .*another --port"):
            view(finished, ViewOptions(port=port), openseadragon=script)
    first = view(finished, ViewOptions(), openseadragon=script)
    second = view(finished, ViewOptions(), openseadragon=script)
    with served(first), served(second):
        assert second.server.guard.port not in {first.server.guard.port, PORT}


def test_a_broken_slide_is_told_in_one_line(tmp_path, script):
    """Its own requests fail; those of others do not."""
    slide_file(tmp_path / "good.tif")
    (tmp_path / "bad.tif").write_bytes(b"II*\0 not a slide")
    lines = [f"{name},{tmp_path / name}.tif,0.5" for name in ("good", "bad", "gone")]
    (tmp_path / "slides.csv").write_text("\n".join(["slide_id,path,mpp", *lines]))
    with served(view(tmp_path, ViewOptions(port=0), openseadragon=script)) as client:
        assert [row["id"] for row in told(client, "/api/slides")["slides"]] == [
            "bad",
            "gone",
            "good",
        ]
        for name, reason in (("bad", "not a slide"), ("gone", "no such file")):
            for target in ("", "/tiles/3/0/0.jpg"):
                answer = client.ask(f"/api/slides/{name}{target}")
                assert answer.status == 422
                assert reason in json.loads(answer.body)["error"]
        assert client.ask("/api/slides/good").status == 200


def test_what_nobody_foresaw_does_not_end_it(client, monkeypatch):
    """One request fails, with a reason; the next is answered."""

    def fail(_):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("coverslip.viewer.evidence.Evidence.about", fail)
    answer = client.ask("/api/study")
    assert answer.status == 500
    assert json.loads(answer.body)["error"] == "unexpected: ZeroDivisionError: oh"
    assert client.ask("/api/slides").status == 200
