"""What a folder is, and every fault that is looked for, each made on purpose."""

import json
import shutil

import h5py
import numpy as np
import pytest

import coverslip
from coverslip.pipeline.exchange.converting import convert
from coverslip.pipeline.exchange.validating import validate
from foreign import FOREIGN, bag, h5, write_foreign
from studies import PATCHING

FEATURES = "20x_256px_0px_overlap/features_uni_v1"


@pytest.fixture
def job(tmp_path):
    """Return a job folder of TRIDENT with two slides."""
    return write_foreign(tmp_path / "job", "trident")


def errors(found):
    """Return what is wrong, by slide."""
    return {one.slide_id: one.text for one in found.findings if one.level == "error"}


def test_a_finished_study_is_sound(cli, finished, cohort):
    """It is told as a study, with its slides and encoder; the exit is 0."""
    ran = cli(
        "validate", finished, "--labels", cohort.labels, "--slides", cohort.slides
    )
    assert ran.code == 0
    assert ran.out.splitlines()[0] == f"{finished}: a study of coverslip"
    assert "slides: 10" in ran.out
    assert ran.out.splitlines()[-1] == "sound; errors: 0, warnings: 0"
    found = json.loads(cli("validate", finished, "--json").out)
    assert (found["kind"], found["sound"], found["findings"]) == ("study", True, [])


@pytest.mark.parametrize("kind", FOREIGN)
def test_every_programs_folder_is_known_and_sound(tmp_path, kind):
    """No fault is invented."""
    found = validate(write_foreign(tmp_path / "x", kind))
    assert (found.kind, errors(found)) == (kind, {})


@pytest.mark.parametrize("kind", ["trident", "clam", "stamp", "torchmil", "pickles"])
def test_what_is_converted_is_sound(finished, tmp_path, kind):
    """What we write passes our own check."""
    convert(finished, tmp_path / "x", kind)
    found = validate(tmp_path / "x")
    assert (found.kind, found.findings) == (kind, ())


def test_slides_are_known_and_broken_ones_named(cohort, tmp_path):
    """A folder of slides is one; a truncated slide in it is an error."""
    assert validate(cohort.slides).kind == "slides"
    slides = shutil.copytree(cohort.slides, tmp_path / "slides")
    bad = slides / "slide_00.tif"
    bad.write_bytes(bad.read_bytes()[:100])
    assert set(errors(validate(slides))) == {"slide_00"}


def test_nothing_known_is_an_error(cli, tmp_path):
    """An empty folder is nothing; the exit is 1."""
    ran = cli("validate", tmp_path)
    assert ran.code == 1
    assert "like no known format" in ran.out


def edit(job, slide_id, **arrays):
    """Change arrays of a slide's features."""
    path = job / FEATURES / f"{slide_id}.h5"
    with h5py.File(path, "r+") as file:
        for name, array in arrays.items():
            told = dict(file[name].attrs)
            del file[name]
            file[name] = array
            file[name].attrs.update(told)


def test_numbers_that_are_none(job):
    """NaN is counted by patch."""
    features, _ = bag(0)
    features[2, 3] = np.nan
    edit(job, "a", features=features)
    assert "NaN or infinite in 1 of 5 patches" in errors(validate(job))["a"]


def test_coordinates_that_are_doubled(job):
    """Two patches in one place are an error; so is what is not in the patches' file."""
    _, coords = bag(0)
    coords[1] = coords[0]
    edit(job, "a", coords=coords)
    texts = [one.text for one in validate(job).findings if one.slide_id == "a"]
    assert any("1 of 5 patches lie where another lies" in text for text in texts)
    assert any("5 features are not of the 5 coordinates" in text for text in texts)


def test_coordinates_outside_the_slide(job):
    """They are counted where the slide's size is known."""
    _, coords = bag(0)
    coords[3] = 50_000, 0
    edit(job, "a", coords=coords)
    texts = [one.text for one in validate(job).findings if one.slide_id == "a"]
    assert any(
        "1 of 5 patches lie outside the slide of 40000 x 30000" in t for t in texts
    )


def test_more_features_than_coordinates(job):
    """A file whose parts do not go together is damaged."""
    edit(job, "a", coords=bag(0, n=4)[1])
    assert "do not go with coordinates (4, 2)" in errors(validate(job))["a"]


def test_features_of_another_encoder(job):
    """The odd one out is named, for its length and for its encoder's name."""
    shutil.copy(job / FEATURES / "a.h5", job / FEATURES / "c.h5")
    edit(job, "b", features=bag(1, dim=7)[0])
    with h5py.File(job / FEATURES / "b.h5", "r+") as file:
        file["features"].attrs["encoder"] = "conch"
    texts = [one.text for one in validate(job).findings if one.slide_id == "b"]
    assert any("length of features is 7, and 6 in most" in text for text in texts)
    assert any("encoder is conch, and uni_v1 in most" in text for text in texts)


def test_a_truncated_file_and_a_slide_without_patch(job):
    """One is an error; the other a warning, for other programs stop at it."""
    bad = job / FEATURES / "a.h5"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    edit(job, "b", features=np.empty((0, 6), np.float32), coords=np.empty((0, 2), int))
    found = validate(job)
    assert "damaged or half-written" in errors(found)["a"]
    assert any(f.level == "warning" and "no patch" in f.text for f in found.findings)


def test_slides_that_are_missing(job, cohort, tmp_path):
    """Of the labels, of the slides, and between the stages."""
    labels = tmp_path / "labels.csv"
    labels.write_text("slide_id,label\na,x\nc,y\n")
    found = validate(job, labels=labels)
    assert f"no features of c, which {labels} labels" in errors(found)["c"]
    assert any("no label of b" in one.text for one in found.findings)
    assert "slide_04" in errors(validate(job, slides=[cohort.slides]))
    (job / FEATURES / "b.h5").unlink()
    assert "run that stage again" in errors(validate(job))["b"]


def test_a_tensor_that_is_not_the_file_beside_it(tmp_path):
    """CLAM trains on .pt: one that differs from the .h5, or is missing, is an error."""
    folder = write_foreign(tmp_path / "clam", "clam")
    shutil.copy(folder / "pt_files/a.pt", folder / "pt_files/b.pt")
    (folder / "pt_files/a.pt").unlink()
    wrong = errors(validate(folder))
    assert "run that stage again" in wrong["a"]
    assert "are not those in" in wrong["b"]


def test_what_killed_programs_left(finished, job, tmp_path):
    """Locks of TRIDENT, half-written files of ours, temporary files of STAMP."""
    (job / FEATURES / "a.h5.lock").write_text("{}")
    study = shutil.copytree(finished, tmp_path / "study")
    (study / PATCHING / "features_fake/.s.h5.host-1.part").write_text("half")
    stamp = write_foreign(tmp_path / "stamp", "stamp")
    (stamp / "tmpab12").write_text("half")
    for folder, text in (
        (job, "a TRIDENT works"),
        (study, "half-written"),
        (stamp, "killed"),
    ):
        found = validate(folder)
        assert found.sound
        assert text in found.findings[0].text


def test_a_feature_that_the_slide_has_once_only(tmp_path):
    """STAMP's encodings of whole slides are no tiles."""
    root = {"feat_type": "slide", "encoder": "titan"}
    h5(tmp_path / "x/titan/a.h5", {"feats": np.ones((1, 6), np.float32)}, root=root)
    assert "one vector a slide, not one a tile" in errors(validate(tmp_path / "x"))["a"]


def test_micrometres_outside_the_slide_are_seen_by_the_slide(cohort, tmp_path):
    """STAMP's files say neither scale nor size: the slides do."""
    root = {"unit": "um", "tile_size_um": 64.0, "tile_size_px": 128}
    for um, outside in ((400.0, False), (600.0, True)):
        arrays = {
            "feats": np.ones((2, 6), np.float16),
            "coords": np.array([[0, 0], [um, 0]], np.float32),
        }
        h5(tmp_path / "x/enc/slide_00.h5", arrays, root=root)
        texts = [
            one.text
            for one in validate(tmp_path / "x", slides=[cohort.slides]).findings
            if one.slide_id == "slide_00"
        ]
        assert any("outside the slide of 1024 x 1024" in t for t in texts) == outside


def test_labels_and_slides_of_a_folder_of_slides(cli, cohort, tmp_path):
    """A label of no slide is an error, a slide without one a warning: also as JSON."""
    lines = cohort.labels.read_text().splitlines()
    unlabelled = next(n for n, line in enumerate(lines) if "slide_04" in line)
    lines[unlabelled] = lines[unlabelled].replace("slide_04", "slide_99")
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines))
    ran = cli("validate", cohort.slides, "--labels", labels, "--json")
    told = {one["slide_id"]: one for one in json.loads(ran.out)["findings"]}
    assert ran.code == 1
    assert (told["slide_99"]["level"], told["slide_04"]["level"]) == (
        "error",
        "warning",
    )
    assert f"no slide slide_99, which {labels} labels" in told["slide_99"]["text"]
    assert f"no label of slide_04 in {labels}" in told["slide_04"]["text"]
    ran = cli("validate", cohort.slides, "--labels", labels)
    assert "no slide slide_99" in ran.out
    assert cli("validate", cohort.slides, "--labels", cohort.labels).code == 0


@pytest.mark.parametrize("kind", ["trident", "stamp"])
def test_an_encoder_that_others_see(finished, tmp_path, kind):
    """The format's own attribute counts before ours, and that they differ is told."""
    folder = tmp_path / "x"
    convert(finished, folder, kind)
    path = next(folder.rglob("slide_03.h5"))
    with h5py.File(path, "r+") as file:
        holder = file["features"] if kind == "trident" else file
        holder.attrs["encoder" if kind == "trident" else "extractor"] = "uni"
    found = validate(folder)
    texts = {one.level: one.text for one in found.findings}
    assert {one.slide_id for one in found.findings} == {"slide_03"}
    assert texts["error"].startswith("encoder is uni, and fake")
    assert "names the encoder uni, ours (coverslip) fake" in texts["warning"]


def test_labels_of_torchmil(tmp_path):
    """A slide without a label where others have one, and a label of no slide."""
    folder = write_foreign(tmp_path / "x", "torchmil")
    (folder / "labels/b.npy").rename(folder / "labels/painted_999.npy")
    found = {one.slide_id: one for one in validate(folder).findings}
    assert set(found) == {"b", "painted_999"}
    assert found["b"].level == "warning"
    assert "no label of b" in found["b"].text
    assert found["painted_999"].level == "error"
    assert "no features of painted_999" in found["painted_999"].text
    shutil.rmtree(folder / "labels")
    assert validate(folder).findings == ()


def test_paths_may_be_texts(finished, cohort):
    """As `open_slide` takes them."""
    found = coverslip.validate(
        str(finished), labels=str(cohort.labels), slides=[str(cohort.slides)]
    )
    assert found.sound
