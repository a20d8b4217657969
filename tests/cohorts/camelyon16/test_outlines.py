"""Outlines, loose and in zips."""

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from coverslip.cohorts.camelyon16 import outlines
from coverslip.cohorts.camelyon16.facts import TUMOR_IDS, slide_name
from coverslip.cohorts.camelyon16.outlines import gather_outlines, outline_files
from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.annotations import read_annotations, write_asap_xml


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_loose_file_comes_before_one_in_a_zip(tmp_path):
    """Whoever corrects an outline puts it beside the zip."""
    archive = zipped(
        tmp_path / "Lesion_annotations.zip",
        {"a/Tumor_001.xml": b"zip", "tumor_002.xml": b"zip"},
    )
    loose = tmp_path / "tumor_001.xml"
    loose.write_bytes(b"loose")
    found = outline_files([archive, loose])
    read = {slide_id: file.contents() for slide_id, file in found.items()}
    assert read == {"tumor_001": b"loose", "tumor_002": b"zip"}


def test_nothing_of_a_zip_lands_outside_the_folder(tmp_path):
    """Paths in it lead nowhere, and what is not named after a slide stays in it."""
    archive = zipped(
        tmp_path / "lesion_annotations.zip",
        {
            "../../tumor_001.xml": b"up",
            "/tumor_002.xml": b"root",
            "__MACOSX/._tumor_003.xml": b"fork",
            "tumor_004.xml/../../evil.xml": b"evil",
            "run.py": b"evil",
        },
    )
    out = tmp_path / "deep" / "out"
    copies = gather_outlines(outline_files([archive]).items(), out)
    assert set(copies) == {"tumor_001", "tumor_002"}
    everything = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert everything == {
        Path("lesion_annotations.zip"),
        Path("deep/out/tumor_001.xml"),
        Path("deep/out/tumor_002.xml"),
    }


def test_other_zips_are_not_opened(tmp_path):
    """A zip of 100 GB of images beside them is not looked through."""
    archive = tmp_path / "images.zip"
    archive.write_bytes(b"no zip at all")
    assert outline_files([archive]) == {}


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    """No more is read than outlines can have."""
    monkeypatch.setattr(outlines, "LARGEST", 1000)
    archive = zipped(tmp_path / "annotations.zip", {"tumor_001.xml": b"0" * 1001})
    with pytest.raises(DataError, match=r"annotations\.zip:tumor_001\.xml: too large"):
        outline_files([archive])["tumor_001"].contents()


def test_a_damaged_member_is_named(tmp_path):
    """The list at the end of a zip may be whole while a file in it is not."""
    path = zipped(
        tmp_path / "annotations.zip", {"tumor_001.xml": bytes(range(256)) * 9}
    )
    content = bytearray(path.read_bytes())
    content[60:70] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="download it anew"):
        outline_files([path])["tumor_001"].contents()


def test_copies_are_named_as_their_slides_and_left_alone_the_next_time(tmp_path):
    """Heatmaps look for outlines by the name of the slide's file."""
    loose = tmp_path / "tumor_001.xml"
    loose.write_bytes(b"<a/>")
    found = outline_files([loose])
    copies = gather_outlines([("Tumor_001", found["tumor_001"])], tmp_path / "out")
    before = copies["Tumor_001"].stat().st_mtime_ns
    gather_outlines([("Tumor_001", found["tumor_001"])], tmp_path / "out")
    assert copies == {"Tumor_001": tmp_path / "out" / "Tumor_001.xml"}
    assert copies["Tumor_001"].stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def real_outlines(real_data) -> dict[str, dict]:
    """Return NCRF's copy of the real lesion outlines by file name."""
    found = {}
    with tarfile.open(
        real_data / "camelyon16" / "ncrf_annotation_jsons.tar.xz"
    ) as archive:
        for member in archive:
            name = Path(member.name)
            file = archive.extractfile(member) if name.suffix == ".json" else None
            if file is not None and name.stem.lower().startswith("tumor"):
                found[name.stem] = json.load(file)
    return found


def test_the_real_outlines_join_the_slides(real_outlines):
    """Tumor_001 to Tumor_110 are each a slide of the set; of tumor_111 there are none."""
    joined = {slide_name(stem) for stem in real_outlines}
    assert set(TUMOR_IDS) - joined == {"tumor_111"}
    assert joined <= set(TUMOR_IDS)


def test_real_outlines_survive_the_way_through_a_zip(real_outlines, tmp_path):
    """Written as ASAP's XML, zipped, gathered and read, they enclose the same region."""
    members, regions = {}, {}
    for stem in sorted(real_outlines)[:12]:
        source = tmp_path / f"{stem}.json"
        source.write_text(json.dumps(real_outlines[stem]))
        drawn = read_annotations(source)
        path = tmp_path / "written.xml"
        groups = {
            "_0": [o.polygon for o in drawn.positive],
            "_2": [o.polygon for o in drawn.excluded],
        }
        write_asap_xml(path, groups)
        members[f"{stem}.xml"], regions[stem.lower()] = path.read_bytes(), drawn.region
    archive = zipped(tmp_path / "lesion_annotations.zip", members)
    copies = gather_outlines(outline_files([archive]).items(), tmp_path / "out")
    assert len(copies) == 12
    for slide_id, path in copies.items():
        read = read_annotations(path).region
        assert read.symmetric_difference(regions[slide_id]).area < 1e-6 * read.area
