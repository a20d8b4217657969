"""Converting many slides: resumed, one bad slide among good ones, tables, options."""

import json
import shutil

import h5py
import numpy as np
import pytest

import coverslip
from coverslip.errors import OptionError, ParametersDifferError
from coverslip.interop.stamp_tables import read_stamp_tables
from coverslip.pipeline.exchange.converting import ConvertOptions, Scaled, convert
from coverslip.pipeline.exchange.exchanged_tables import Tables
from coverslip.prepare.features import Features
from coverslip.slides.finding import Scales
from foreign import WRITERS, bag, h5, write_foreign
from studies import PATCHING, files, rows


@pytest.fixture
def job(tmp_path):
    """Return a job folder of TRIDENT with two slides."""
    return write_foreign(tmp_path / "job", "trident")


def test_the_same_call_again_keeps_what_is_there(job, tmp_path):
    """Nothing is written twice; a source that changed is converted anew."""
    out = tmp_path / "clam"
    assert convert(job, out, "clam").rows == {"a": "ok", "b": "ok"}
    before = files(out)
    assert convert(job, out, "clam").rows == {"a": "kept", "b": "kept"}
    assert files(out) == before
    (out / "pt_files/a.pt").unlink()
    changed = job / "20x_256px_0px_overlap/features_uni_v1/b.h5"
    with h5py.File(changed, "r+") as file:
        file["features"][0, 0] = 7
    again = convert(job, out, "clam")
    assert again.rows == {"a": "ok", "b": "ok"}
    assert files(out)["h5_files/a.h5"] == before["h5_files/a.h5"]


def test_one_bad_slide_does_not_end_it(cli, job, tmp_path):
    """It is named with its reason; the good one is there; the exit is 0."""
    bad = job / "20x_256px_0px_overlap/features_uni_v1/a.h5"
    bad.write_bytes(bad.read_bytes()[:300])
    ran = cli("convert", job, "--to", "clam", "--out", tmp_path / "clam", "--json")
    told = json.loads(ran.out)
    assert ran.code == 0
    assert told["rows"]["b"] == "ok"
    assert told["failed"]["a"].startswith(f"{bad}: damaged or half-written")
    assert [path.name for path in (tmp_path / "clam/pt_files").iterdir()] == ["b.pt"]


def test_it_leaves_with_1_when_all_failed(cli, tmp_path):
    """STAMP's micrometres need a scale, and the message says how to give it."""
    source = write_foreign(tmp_path / "stamp", "stamp")
    ran = cli("convert", source, "--to", "clam", "--out", tmp_path / "c", "--quiet")
    assert ran.code == 1
    assert len(ran.complaints) == 2
    assert all("give --slides, --mpp or --mpp-csv" in line for line in ran.complaints)
    ran = cli(
        "convert", source, "--to", "clam", "--out", tmp_path / "c", "--mpp", 0.2527
    )
    assert ran.out.startswith(
        "2 of 2 slides from features of STAMP to a folder of CLAM"
    )


def test_not_a_number_is_not_brought_in(job, tmp_path):
    """NaN fails that slide alone."""
    with h5py.File(job / "20x_256px_0px_overlap/features_uni_v1/a.h5", "r+") as file:
        file["features"][1, 2] = np.nan
    done = convert(job, tmp_path / "study", "study")
    assert done.rows["b"] == "ok"
    assert "features of 1 of 5 patches are NaN" in done.failed["a"]


def test_features_of_another_length_do_not_come_into_one_folder(job, tmp_path):
    """The second slide of another encoder fails, and says so."""
    features, coords = bag(3, dim=7)
    with h5py.File(job / "20x_256px_0px_overlap/features_uni_v1/b.h5", "w") as file:
        file["features"], file["coords"] = features, coords
    done = convert(job, tmp_path / "clam", "clam")
    assert "features of 7 numbers, and 6 in most files" in done.failed["b"]


def test_wider_features_stay_wide_unless_asked(job, tmp_path):
    """The study keeps float32; `--dtype float16` rounds and says so."""
    place = "imported/features_uni_v1/a.h5"
    convert(job, tmp_path / "wide", "study")
    wide = Features.load(tmp_path / "wide" / place)
    assert wide.features.dtype == np.float32
    halved = ConvertOptions(dtype="float16")
    done = convert(job, tmp_path / "narrow", "study", halved)
    narrow = Features.load(tmp_path / "narrow" / place)
    assert narrow.features.dtype == np.float16
    assert np.array_equal(narrow.features, wide.features.astype(np.float16))
    assert "features were rounded to float16" in done.notes
    with pytest.raises(ParametersDifferError, match="dtype"):
        convert(job, tmp_path / "narrow", "study")


def test_what_lies_in_the_folder_is_not_written_over(job, tmp_path):
    """A file that no conversion made stays, and its slide fails."""
    own = tmp_path / "clam/pt_files/a.pt"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"precious")
    done = convert(job, tmp_path / "clam", "clam")
    assert "there already" in done.failed["a"]
    assert own.read_bytes() == b"precious"
    with pytest.raises(OptionError, match="is the source itself"):
        convert(job, job, "trident")


def test_changed_features_come_back_as_imported(finished, tmp_path):
    """What another program altered is not taken for what coverslip made."""
    convert(finished, tmp_path / "clam", "clam")
    with h5py.File(tmp_path / "clam/h5_files/slide_03.h5", "r+") as file:
        file["features"][0] += 1
    with h5py.File(tmp_path / "clam/h5_files/slide_04.h5", "r+") as file:
        file["coords"][0] += 1
    convert(tmp_path / "clam", tmp_path / "back", "study")
    there = {p.stem for p in (tmp_path / "back" / PATCHING / "features_fake").iterdir()}
    assert there == {f"slide_{i:02d}" for i in range(10) if i not in {3, 4}} | {
        "prepare"
    }
    made = Features.load(tmp_path / "back/imported/features_fake/slide_03.h5")
    assert made.facts["imported_from"] == "study"


@pytest.mark.parametrize("folder", ["../out/features_x", "/abs/features_x", "a/.."])
def test_a_file_does_not_decide_where_another_is_written(finished, tmp_path, folder):
    """Folders and encoders that a file names stay inside the folder that is written."""
    convert(finished, tmp_path / "clam", "clam")
    for path in (tmp_path / "clam/h5_files").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            facts = json.loads(file.attrs["coverslip"])
            facts["exchange"] |= {"set": folder, "encoder": "../hub:x/y"}
            file.attrs["coverslip"] = json.dumps(facts)
    before = files(tmp_path)
    convert(tmp_path / "clam", tmp_path / "deep/back", "study")
    made = set(files(tmp_path)) - set(before)
    assert all(name.startswith("deep/back/") for name in made)
    assert "deep/back/imported/features__hub_x_y/slide_00.h5" in made


def test_a_set_must_be_named_where_there_are_several(job, tmp_path):
    """The message lists them; the inner folder is not taken for another program's."""
    where = job / "20x_256px_0px_overlap"
    shutil.copytree(where / "features_uni_v1", where / "features_other")
    with pytest.raises(OptionError, match=r"features_other, .*features_uni_v1"):
        convert(job, tmp_path / "clam", "clam")
    options = ConvertOptions(features="20x_256px_0px_overlap/features_other")
    assert convert(job, tmp_path / "clam", "clam", options).rows["a"] == "ok"
    with pytest.raises(coverslip.errors.DataError, match="give .*job with --features"):
        convert(where / "features_other", tmp_path / "x", "clam")


def test_labels_and_folds_go_to_clam_and_come_back(job, tmp_path):
    """Two folds become CLAM's files of splits, and the table of folds again."""
    labels = tmp_path / "labels.csv"
    labels.write_text("slide_id,case_id,label\na,p1,normal\nb,p2,tumor\n")
    splits = tmp_path / "splits.csv"
    splits.write_text("slide_id,fold_0,fold_1\na,train,test\nb,val,train\n")
    named = Tables(labels=labels, splits=splits)
    done = convert(job, tmp_path / "clam", "clam", tables=named)
    assert len(done.tables) == 1 + 2 * 3
    text = (tmp_path / "clam/splits/splits_1.csv").read_text()
    assert text.split() == [",train,val,test", "0,b,,a"]
    text = (tmp_path / "clam/splits/splits_0_bool.csv").read_text()
    assert text.split()[1:] == ["a,True,False,False", "b,False,True,False"]
    text = (tmp_path / "clam/splits/splits_0_descriptor.csv").read_text()
    assert text.split()[1:] == ["normal,1,0,0", "tumor,0,1,0"]
    convert(tmp_path / "clam", tmp_path / "study", "study")
    assert rows(tmp_path / "study/labels.csv")["a"]["case_id"] == "p1"
    back = rows(tmp_path / "study/splits.csv")
    assert (back["a"]["fold_0"], back["a"]["fold_1"]) == ("train", "test")
    assert (back["b"]["fold_0"], back["b"]["fold_1"]) == ("val", "train")


def test_labels_of_somebody_else_are_not_written_over(job, tmp_path):
    """A table that no conversion wrote stays; one that did is written anew."""
    labels = tmp_path / "labels.csv"
    labels.write_text("slide_id,label\na,normal\nb,tumor\n")
    named = Tables(labels=labels)
    convert(job, tmp_path / "first", "study", tables=named)
    labels.write_text("slide_id,label\na,tumor\nb,normal\n")
    convert(job, tmp_path / "first", "study", tables=named)
    assert rows(tmp_path / "first/labels.csv")["a"]["label"] == "tumor"
    (tmp_path / "second").mkdir()
    (tmp_path / "second/labels.csv").write_text("precious")
    done = convert(job, tmp_path / "second", "study", tables=named)
    assert (tmp_path / "second/labels.csv").read_text() == "precious"
    assert any("is there already" in note for note in done.notes)


def test_another_scale_converts_anew(tmp_path):
    """What was converted with a wrong --mpp is not kept when it is corrected."""
    source = write_foreign(tmp_path / "stamp", "stamp")
    corners = []
    for mpp in (0.5, 0.2527):
        done = convert(source, tmp_path / "c", "clam", scaled=Scaled(Scales(mpp)))
        assert set(done.rows.values()) == {"ok"}
        with h5py.File(tmp_path / "c/h5_files/a.h5") as file:
            corners.append(file["coords"][:])
    assert corners[1].tolist() == bag(0)[1].tolist()
    assert corners[0].tolist() != corners[1].tolist()


def test_labels_that_nobody_named_do_not_stop_it(job, tmp_path):
    """A bad table that lies in the source is noted; one that was named is an error."""
    (job / "labels.csv").write_text("slide_id,label\na,only\n")
    done = convert(job, tmp_path / "clam", "clam")
    assert set(done.rows.values()) == {"ok"}
    assert any("labels and splits were left out" in note for note in done.notes)
    with pytest.raises(coverslip.errors.LabelError, match="only the class"):
        convert(job, tmp_path / "c", "clam", tables=Tables(labels=job / "labels.csv"))
    assert not (tmp_path / "c").exists()


def test_a_patient_with_two_labels_is_left_out_of_stamps_tables(job, tmp_path):
    """STAMP labels patients: the one that is torn is named."""
    labels = tmp_path / "labels.csv"
    labels.write_text("slide_id,case_id,label\na,p1,normal\nb,p1,tumor\n")
    scaled = Scaled(Scales(0.25))
    named = Tables(labels=labels)
    done = convert(job, tmp_path / "stamp", "stamp", tables=named, scaled=scaled)
    assert "patients with several labels left out: p1" in done.notes
    tables = tmp_path / "stamp"
    assert read_stamp_tables(tables / "clini.csv", tables / "slide.csv") == []


def test_a_study_of_another_programs_features_trains(cli, tmp_path):
    """`train` takes what was brought in, with the labels that came along."""
    job = tmp_path / "job"
    labels = ["slide_id,label"]
    for number in range(12):
        features, coords = bag(number)
        features += number % 2
        path = job / "20x_256px_0px_overlap/features_x" / f"s{number}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file["features"], file["coords"] = features, coords
        labels.append(f"s{number},{'ab'[number % 2]}")
    (job / "labels.csv").write_text("\n".join(labels))
    study = tmp_path / "study"
    assert cli("convert", job, "--to", "study", "--out", study).code == 0
    ran = cli("train", study, "--labels", study / "labels.csv", "--epochs", 2)
    assert ran.code == 0, ran.err
    assert (study / "runs/dmia/model.safetensors").exists()


def job_of_three(tmp_path, dims=(7, 6, 6)):
    """Return a job folder whose first slide is of another encoder than the rest."""
    folder = tmp_path / "job/20x_256px_0px_overlap/features_x"
    for number, dim in enumerate(dims):
        features, coords = bag(number, dim=dim)
        h5(folder / f"s{number}.h5", {"features": features, "coords": coords})
    return tmp_path / "job"


def test_most_files_say_how_long_features_are(tmp_path):
    """The first file is the odd one: it alone fails, and the others go on."""
    done = convert(job_of_three(tmp_path), tmp_path / "study", "study")
    assert (done.rows["s1"], done.rows["s2"]) == ("ok", "ok")
    assert "features of 7 numbers, and 6 in most files" in done.failed["s0"]


@pytest.mark.parametrize("kind", ["trident", "clam", "stamp", "torchmil", "pickles"])
def test_the_odd_one_is_found_in_every_format(tmp_path, kind):
    """A slide of another length that comes first fails alone."""
    for number, dim in enumerate((7, 6, 6)):
        WRITERS[kind](tmp_path / "x", f"s{number}", *bag(number, dim=dim))
    scaled = Scaled(Scales(0.2527))
    done = convert(tmp_path / "x", tmp_path / "study", "study", scaled=scaled)
    assert set(done.failed) == {"s0"}


def test_what_became_odd_is_not_kept(tmp_path):
    """One that was converted alone, before the others came, is not told as sound."""
    job = job_of_three(tmp_path, dims=(7,))
    assert convert(job, tmp_path / "study", "study").rows == {"s0": "ok"}
    done = convert(job_of_three(tmp_path), tmp_path / "study", "study")
    assert set(done.failed) == {"s0"}
    made = tmp_path / "study/imported/features_x/s0.h5"
    assert done.failed["s0"].endswith(f"and delete {made}")


@pytest.mark.parametrize("before", [(), ("--mpp", 0.5)])
def test_slides_that_are_given_stand_in_the_table(cli, cohort, tmp_path, before):
    """Their path, size and scale: also when a call without them came first."""
    told = {"unit": "um", "tile_size_um": 64.0, "tile_size_px": 128}
    features, coords = bag(0)
    arrays = {"feats": features, "coords": (coords % 512).astype(np.float32)}
    h5(tmp_path / "x/enc/slide_00.h5", arrays, root=told)
    study = tmp_path / "study"
    call = ("convert", tmp_path / "x", "--to", "study", "--out", study)
    assert cli(*call, *before).code == (0 if before else 1)
    assert cli(*call, "--slides", cohort.slides, *before).code == 0
    row = rows(study / "slides.csv")["slide_00"]
    with coverslip.open_slide(row["path"]) as slide:
        size, mpp = slide.l0_size, slide.l0_mpp
    assert (int(row["width"]), int(row["height"])) == size
    assert float(row["mpp"]) == mpp
    assert row["status"] == "features"


def test_an_encoder_that_was_changed_is_not_ours(finished, tmp_path):
    """A slide whose visible attribute names another encoder comes in as imported."""
    convert(finished, tmp_path / "job", "trident")
    path = tmp_path / "job" / PATCHING / "features_fake/slide_03.h5"
    with h5py.File(path, "r+") as file:
        file["features"].attrs["encoder"] = "uni"
    done = convert(tmp_path / "job", tmp_path / "back", "study")
    assert (tmp_path / "back/imported/features_uni/slide_03.h5").exists()
    assert any("another encoder than ours" in note for note in done.notes)


def test_paths_may_be_texts(job, tmp_path):
    """As `open_slide` takes them."""
    done = coverslip.convert(str(job), str(tmp_path / "clam"), "clam")
    assert done.rows == {"a": "ok", "b": "ok"}
