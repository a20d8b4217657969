"""Predicting: the model decides how slides are prepared, the caller how fast."""

import shutil

import numpy as np
import pytest

from coverslip.cohorts.pyramid import write_pyramid
from coverslip.learn.checkpoint import load_model, save_model
from coverslip.pipeline.predict import predicting
from coverslip.pipeline.predict.predicting import (
    gather,
    predict_sources,
    preparation_for,
)
from coverslip.pipeline.prepare.preparation import Preparation, PrepareOptions
from coverslip.prepare.features import Features
from coverslip.tables import read_csv, write_csv
from coverslip.testing import LESION, TISSUE, fake_encoder_known, slide_file
from studies import PATCHING, rows, same


def card_of(study):
    """Return the card of a study's model."""
    return load_model(study / "runs" / "dmia")[1]


def test_what_decides_the_features_is_the_models(finished, tmp_path):
    """Encoder, scale and size come from the card; batch and weights from the caller."""
    given = PrepareOptions(
        patches={"size": 512},
        features={"encoder": "resnet50", "batch_size": 3, "weights": "w.safetensors"}
        | {"runtime": "torch"},
    )
    ready = preparation_for(card_of(finished), tmp_path, Preparation(tmp_path, given))
    assert ready.options.patches.size == 256
    assert ready.options.features.encoder == "fake"
    assert ready.options.features.batch_size == 3
    assert ready.options.features.runtime == "torch"
    assert str(ready.options.features.weights) == "w.safetensors"


def test_a_model_of_foreign_features_says_what_to_give(cli, finished, tmp_path):
    """Without knowing how features were made, raw slides are refused."""
    model, card = load_model(finished / "runs" / "dmia")
    card.prepare.clear()
    save_model(tmp_path / "run", model, card)
    slide = slide_file(tmp_path / "s.tif")
    for place in (slide, finished):
        ran = cli("predict", tmp_path / "run", place, "--out", tmp_path / "p.csv")
        assert ran.code == 1
        assert "trained on features of another program" in ran.complaints[-1]
    features = finished / PATCHING / "features_fake"
    ran = cli("predict", tmp_path / "run", features, "--out", tmp_path / "p.csv")
    assert ran.code == 0


def test_only_the_slides_asked_for_are_predicted(cli, finished, cohort, tmp_path):
    """The folder that keeps their features may hold others from before."""
    model, out = finished / "runs" / "dmia", tmp_path / "p.csv"
    for slide_id in ("slide_01", "slide_02"):
        slide = cohort.slides / f"{slide_id}.tif"
        assert cli("predict", model, slide, "--out", out, "--quiet").code == 0
        assert list(rows(out)) == [slide_id]
    kept = tmp_path / "p_study" / PATCHING / "features_fake"
    assert len(list(kept.glob("*.h5"))) == 2


def test_only_the_slides_to_be_drawn_are_prepared(finished, cohort, tmp_path):
    """One heatmap out of a folder does not cost the features of the whole folder."""
    ready = Preparation(tmp_path / "study", quiet=True)
    with fake_encoder_known():
        sources = gather([cohort.slides], card_of(finished), ready, ["slide_04"])
    assert [source.slide_id for source in sources] == ["slide_04"]
    made = (tmp_path / "study" / PATCHING / "features_fake").glob("*.h5")
    assert [path.name for path in made] == ["slide_04.h5"]


def test_the_order_of_slides_does_not_matter(cli, finished, cohort, tmp_path):
    """Forwards, backwards: the same table to the last byte."""
    places = sorted(cohort.slides.iterdir())[:4]
    made = []
    for number, order in enumerate((places, places[::-1])):
        out = tmp_path / f"{number}.csv"
        cli("predict", finished / "runs/dmia", *order, "--out", out, "--quiet")
        made.append(out.read_bytes())
    assert made[0] == made[1]


def test_the_order_of_patches_in_a_file_does_not_matter(finished, tmp_path):
    """A file of features listed in another order gets exactly the same score."""
    model, card = load_model(finished / "runs" / "dmia")
    bag = Features.load(finished / PATCHING / "features_fake" / "slide_03.h5")
    order = np.array([2, 0, 3, 1])
    shuffled = Features("x", bag.features[order], bag.coords[order], bag.facts)
    shuffled.save(tmp_path / "slide_03.h5")
    scores = []
    for place in (finished / PATCHING / "features_fake/slide_03.h5", tmp_path):
        sources = gather([place], card, Preparation(tmp_path))
        ((_, _, said),) = predict_sources(model, card, sources, quiet=True)
        scores.append(said.probabilities)
    assert (scores[0] == scores[1]).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"patching": {"mpp": 1.0, "size": 256}}, "patching mpp is 1.0, not 0.5"),
        ({"encoder": {"name": "other"}}, "encoder name is 'other', not 'fake'"),
    ],
)
def test_features_of_another_kind_are_refused_alone(
    cli, finished, tmp_path, change, named
):
    """That slide fails by name; the others are predicted; alone it is code 1."""
    folder = shutil.copytree(
        finished / PATCHING / "features_fake", tmp_path / "features"
    )
    bad = folder / "slide_03.h5"
    old = Features.load(bad)
    facts = {**old.facts, **change}
    Features("slide_03", np.array(old.features), old.coords, facts).save(bad)
    out = tmp_path / "p.csv"
    ran = cli("predict", finished / "runs/dmia", folder, "--out", out, "--quiet")
    assert ran.code == 0
    assert len(ran.complaints) == 1
    assert ran.complaints[0].startswith(f"failed: {bad}: ")
    assert named in ran.complaints[0]
    said = rows(out)
    assert said.pop("slide_03")["status"] == "failed"
    assert {row["status"] for row in said.values()} == {"ok"}
    assert cli("predict", finished / "runs/dmia", bad, "--out", out).code == 1


def test_a_slide_that_failed_before_is_told_from_the_study(cli, finished, tmp_path):
    """A study remembers why a slide has no features."""
    study = shutil.copytree(finished, tmp_path / "study")
    (study / PATCHING / "features_fake" / "slide_04.h5").unlink()
    table = rows(study / "slides.csv")
    table["slide_05"] |= {"status": "failed", "error": "slide_05.tif: truncated"}
    columns = list(table["slide_05"])
    write_csv(study / "slides.csv", columns, table.values())
    out = tmp_path / "p.csv"
    ran = cli("predict", study / "runs/dmia", study, "--out", out, "--quiet")
    assert ran.code == 0
    assert "8 of 10 slides done, 2 failed" in ran.out
    missing = study / PATCHING / "features_fake" / "slide_04.h5"
    assert ran.complaints == [
        f"failed: {missing}: no such file: run `coverslip features` first",
        "failed: slide_05.tif: truncated",
    ]
    assert rows(out)["slide_05"]["error"] == "slide_05.tif: truncated"


def test_a_heatmap_without_the_slide_keeps_the_scores(cli, finished, tmp_path):
    """From a file of features alone there is no picture, but there is the table."""
    place = finished / PATCHING / "features_fake" / "slide_03.h5"
    ran = cli("heatmap", finished / "runs/dmia", place, "--out", tmp_path / "maps")
    assert ran.code == 1
    assert "its slide is not known: give the slide or the study" in ran.err
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["slide_03.csv"]


def test_pictures_of_two_models_are_never_mixed(cli, finished, tmp_path, monkeypatch):
    """Another model's drawing, stopped half-way, is not taken for the first one's."""
    maps = shutil.copytree(finished / "heatmaps", tmp_path / "maps")
    network, card = load_model(finished / "runs" / "dmia")
    for weights in network.parameters():
        weights.data.mul_(-1)
    save_model(tmp_path / "other", network, card)

    def stop(*_, **__):
        raise KeyboardInterrupt

    chosen = (finished, "--out", maps, "--slide", "slide_09", "--quiet")
    monkeypatch.setattr(predicting, "draw_patches", stop)
    assert cli("heatmap", tmp_path / "other", *chosen).code == 130
    monkeypatch.undo()
    assert not same(maps / "slide_09.png", finished / "heatmaps" / "slide_09.png")
    assert cli("heatmap", finished / "runs/dmia", *chosen).code == 0
    for path in maps.iterdir():
        assert same(path, finished / "heatmaps" / path.name), path.name


def test_the_scores_of_patches_lie_where_the_lesion_is(cli, finished, tmp_path):
    """The right half of a slide is planted: the right half's patches score higher."""
    rng = np.random.default_rng(0)
    picture = np.empty((1024, 1024, 3))
    picture[:, :512], picture[:, 512:] = TISSUE, LESION
    noisy = (picture + rng.integers(-20, 21, picture.shape)).astype(np.uint8)
    write_pyramid(tmp_path / "s.tif", noisy, 0.5)
    out = tmp_path / "maps"
    cli("heatmap", finished / "runs/dmia", tmp_path / "s.tif", "--out", out, "--quiet")
    score = {
        (int(row["x"]), int(row["y"])): float(row["probability_tumor"])
        for row in read_csv(out / "s.csv")
    }
    assert len(score) == 16
    left = [value for (x, _), value in score.items() if x < 512]
    right = [value for (x, _), value in score.items() if x >= 512]
    assert min(right) > max(left)


def test_the_card_of_a_run_is_enough(finished):
    """What prepares raw slides is written in the model, not only beside it."""
    card = card_of(finished)
    assert PrepareOptions(**card.prepare).features.encoder == "fake"
    assert card.features["patching"] == {"mpp": 0.5, "size": 256}
