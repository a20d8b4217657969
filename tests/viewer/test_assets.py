"""OpenSeadragon is found where it was installed, or where the user says."""

from importlib import metadata

import pytest

from coverslip.errors import DataError, MissingExtraError
from coverslip.viewer import assets


def test_the_page_is_whole():
    """Every file that the page and its scripts name is there, and no other is served."""
    files = assets.page_files()
    text = "".join(path.read_text() for path in files.values())
    assert set(files) >= {"index.html", "main.js", "page.css"}
    assert [name for name in files if name != "index.html" and name not in text] == []


def test_nothing_is_asked_for_elsewhere():
    """No address of another machine stands in the page, but for names of formats."""
    for path in assets.page_files().values():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "")


@pytest.fixture(autouse=True)
def _nothing_named(monkeypatch):
    monkeypatch.delenv(assets.NAMED, raising=False)


def test_the_extra_brings_openseadragon():
    """The package that the extra installs carries the script and its licence."""
    try:
        metadata.distribution(assets.CARRIER)
    except metadata.PackageNotFoundError:
        pytest.skip("the extra `view` is not installed")
    script = assets.find_openseadragon()
    assert script.name == assets.SCRIPT
    licence = (script.parent / "LICENSE.txt").read_text()
    assert "OpenSeadragon contributors" in licence
    assert "Redistribution and use in source and binary forms" in licence


def test_without_the_extra_one_line_says_what_to_do(monkeypatch):
    """Both remedies are named."""
    monkeypatch.setattr(assets, "CARRIER", "no-such-package-anywhere")
    with pytest.raises(MissingExtraError, match=r"coverslip\[view\].*--openseadragon"):
        assets.find_openseadragon()


def test_the_environment_may_name_the_file(monkeypatch, script):
    """So that nobody has to type it each time."""
    monkeypatch.setenv(assets.NAMED, str(script))
    assert assets.find_openseadragon() == script


def test_a_file_that_is_named_is_taken(tmp_path, script):
    """Only if it is OpenSeadragon."""
    assert assets.find_openseadragon(script) == script
    other = tmp_path / "other.js"
    other.write_text("alert(1)")
    for wrong in (other, tmp_path / "nothing.js"):
        with pytest.raises(DataError, match="not OpenSeadragon"):
            assets.find_openseadragon(wrong)
