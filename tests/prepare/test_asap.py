"""ASAP's XML: what is read, refused and written."""

import math

import pytest
import shapely
from shapely import Polygon

from coverslip.errors import CorruptFileError, DataError
from coverslip.prepare.asap import read_asap_xml, write_asap_xml


def annotation(points, kind="Polygon", group="Tumor", orders=None):
    """Return one <Annotation> element as text."""
    rows = "".join(
        f'<Coordinate Order="{order}" X="{x}" Y="{y}" />'
        for order, (x, y) in zip(orders or range(len(points)), points, strict=True)
    )
    return (
        f'<Annotation Name="a" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">'
        f"<Coordinates>{rows}</Coordinates></Annotation>"
    )


def square(x, y, side):
    """Return the corners of a square."""
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


@pytest.fixture
def asap(tmp_path):
    """Return a function that writes annotations to a file."""

    def write(*annotations, before=""):
        path = tmp_path / "slide.xml"
        body = "".join(annotations)
        path.write_text(
            f'<?xml version="1.0"?>{before}<ASAP_Annotations><Annotations>{body}'
            "</Annotations><AnnotationGroups /></ASAP_Annotations>"
        )
        return path

    return write


def test_areas_count_and_marks_are_skipped(asap):
    """Polygon, spline and rectangle are areas; the rest is counted by its type."""
    kinds = ["Polygon", "Spline", "Rectangle", "Dot", "PointSet", "PointSet", "None"]
    drawn = [annotation(square(20 * i, 0, 10), k) for i, k in enumerate(kinds)]
    found = read_asap_xml(asap(*drawn))
    assert found.region.area == 300
    assert found.skipped == {"type Dot": 1, "type PointSet": 2, "type None": 1}


def test_holes_of_every_camelyon16_name_are_cut(asap):
    """_2, Exclusion and None are cut out of _0, _1 and Tumor."""
    found = read_asap_xml(
        asap(
            annotation(square(0, 0, 100), group="_0"),
            annotation(square(200, 0, 100), group="_1"),
            annotation(square(10, 10, 10), group="_2"),
            annotation(square(30, 10, 10), group="exclusion"),
            annotation(square(210, 10, 10), group="None"),
        )
    )
    assert found.region.area == 2 * 100**2 - 3 * 10**2
    assert [outline.group for outline in found.positive] == ["_0", "_1"]


def test_points_follow_their_order_and_may_have_decimal_commas(asap):
    """Shuffled points and `10,5` still make the square that was drawn."""
    corners = [("0", "0"), ("10,5", "10,5"), ("10,5", "0"), ("0", "10,5")]
    found = read_asap_xml(asap(annotation(corners, orders=[0, 2, 1, 3])))
    assert found.region.equals(shapely.box(0, 0, 10.5, 10.5))


def test_order_is_a_number_not_a_text(asap):
    """The tenth point comes after the second."""
    turn = [2 * math.pi * i / 12 for i in range(12)]
    ring = [(math.cos(t), math.sin(t)) for t in turn]
    found = read_asap_xml(asap(annotation(ring[::-1], orders=range(11, -1, -1))))
    assert found.region.area == pytest.approx(Polygon(ring).area)


def test_two_points_are_skipped_and_counted(asap):
    """What has no area does not spoil the rest."""
    found = read_asap_xml(
        asap(annotation([(0, 0), (5, 5)]), annotation(square(0, 0, 2)))
    )
    assert found.region.area == 4
    assert found.skipped == {"no area": 1}


def test_an_entity_bomb_is_refused(asap):
    """A DOCTYPE is refused before any entity of it is used."""
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    with pytest.raises(DataError, match=r"slide\.xml: it has a DOCTYPE"):
        read_asap_xml(asap(annotation(square(0, 0, 2), group="&b;"), before=bomb))


def test_an_outside_entity_is_refused(asap, tmp_path):
    """A file named by the annotation is not read."""
    (tmp_path / "secret.txt").write_text("secret")
    outside = f'<!DOCTYPE x SYSTEM "{tmp_path / "secret.txt"}">'
    with pytest.raises(DataError, match="DOCTYPE"):
        read_asap_xml(asap(before=outside))


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("<ASAP_Annotations><Annot", CorruptFileError, "broken XML"),
        ("", CorruptFileError, "broken XML"),
        ("<Annotations/>", DataError, "root is <Annotations>"),
        ("<?xml version='1.0' encoding='klingon'?><a/>", CorruptFileError, "broken"),
    ],
)
def test_other_files_are_named_in_one_line(tmp_path, text, error, says):
    """Broken XML and XML of another program say which file, and why."""
    path = tmp_path / "bad.xml"
    path.write_text(text)
    with pytest.raises(error, match=says) as caught:
        read_asap_xml(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "ten", "nan", "inf", "1,234.5"])
def test_a_coordinate_that_is_no_number_is_an_error(asap, value):
    """A broken coordinate is never dropped silently."""
    with pytest.raises(CorruptFileError, match="is not a coordinate"):
        read_asap_xml(asap(annotation([(0, 0), (value, 1), (1, 1)])))


def test_a_missing_file_is_named(tmp_path):
    """The path is in the message."""
    with pytest.raises(DataError, match=r"gone\.xml: no such file"):
        read_asap_xml(tmp_path / "gone.xml")


def test_written_polygons_read_back_exactly(tmp_path):
    """Groups, real coordinates and holes survive."""
    holed = shapely.box(0.1, 0.2, 50.3, 50.4).difference(shapely.box(5, 5, 9, 9.5))
    path = tmp_path / "out.xml"
    write_asap_xml(path, {"Tumor": [holed], "_1": [shapely.box(100, 0, 110, 10)]})
    found = read_asap_xml(path)
    assert [outline.group for outline in found.positive] == ["Tumor", "_1"]
    assert [outline.group for outline in found.excluded] == ["Exclusion"]
    expected = holed.union(shapely.box(100, 0, 110, 10))
    assert found.region.symmetric_difference(expected).area == 0


def test_an_island_in_a_hole_survives_writing(tmp_path):
    """A lesion inside the hole of another is not cut away with the hole."""
    ring = shapely.box(0, 0, 90, 90).difference(shapely.box(10, 10, 80, 80))
    island = shapely.box(30, 30, 50, 50).difference(shapely.box(35, 35, 40, 40))
    write_asap_xml(tmp_path / "out.xml", {"Tumor": [ring, island]})
    region = read_asap_xml(tmp_path / "out.xml").region
    assert region.symmetric_difference(ring.union(island)).area < 1e-9


def test_unnamed_group_with_a_hole_survives_writing(tmp_path):
    """Group None alone is positive, and its hole still a hole."""
    holed = shapely.box(0, 0, 9, 9).difference(shapely.box(2, 2, 4, 4))
    write_asap_xml(tmp_path / "out.xml", {"None": [holed]})
    assert read_asap_xml(tmp_path / "out.xml").region.equals(holed)


def test_the_samples_of_asap_itself_are_read(real_data):
    """A polygon is an area; a dot and a point set are not."""
    folder = real_data / "camelyon16" / "asap-format-samples"
    polygon = read_asap_xml(folder / "asap-polygon.xml")
    assert polygon.region.area == pytest.approx(28616.8, abs=0.1)
    assert polygon.region.bounds[:2] == (22693.1875, 16551.1797)
    assert read_asap_xml(folder / "asap-dot.xml").skipped == {"type Dot": 1}
    assert read_asap_xml(folder / "asap-pointset.xml").skipped == {"type PointSet": 1}
