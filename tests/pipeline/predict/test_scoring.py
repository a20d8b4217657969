"""A run's word on the patches of its study, as reports, viewer and exports take it."""

import csv

import numpy as np
import pytest

from coverslip.errors import DataError, SlideError
from coverslip.pipeline.predict.scoring import RunScores, open_run, run_names
from coverslip.testing import fake_encoder_known
from studies import predictions, rows, run_arguments


def test_patches_are_scored_as_the_heatmap_table_says(finished):
    """The scores of a slide are those that its heatmap was drawn from."""
    run = open_run(finished)
    table = next((finished / "heatmaps").glob("*.csv"))
    scores = run.of(table.stem)
    with table.open(newline="", encoding="utf-8") as file:
        told = {(int(r["x"]), int(r["y"])): r for r in csv.DictReader(file)}
    assert len(told) == len(scores.coords)
    for corner, attention in zip(
        scores.coords, scores.prediction.attention, strict=True
    ):
        assert float(told[tuple(corner)]["attention"]) == pytest.approx(attention, 1e-5)


def test_the_slide_opens_at_the_scale_its_patches_were_laid_with(finished):
    """What is opened is the slide itself, and patches lie on it."""
    run = open_run(finished, "dmia")
    scores = run.of(next(iter(run.rows)))
    with scores.open() as slide:
        assert slide.slide_id == scores.slide_id
        assert slide.l0_mpp == scores.scale.l0_mpp
        inside = scores.coords + scores.scale.l0_size <= np.array(slide.l0_size)
    assert inside.all()


def test_every_slide_of_the_table_agrees_with_its_probability(finished):
    """What is scored now is what the run's table of predictions says."""
    run = open_run(finished)
    for slide_id, row in predictions(finished).items():
        now = run.of(slide_id).prediction.probabilities
        assert now is not None
        column = next(name for name in row if name.startswith("probability_"))
        assert float(row[column]) == pytest.approx(now[0], abs=1e-5)


def test_a_cross_validated_slide_gets_the_model_that_did_not_learn_from_it(
    cohort, tmp_path
):
    """Of folds, the one that tested a slide speaks for it."""
    from coverslip.cli import main

    study = tmp_path / "study"
    with fake_encoder_known(), pytest.raises(SystemExit):
        main(run_arguments(cohort, study, "--quiet", "--folds", "2"))
    run = open_run(study)
    for slide_id, row in predictions(study).items():
        folder = run.model_folder(slide_id)
        assert folder.name == f"fold_{row['fold']}"
        assert rows(folder / "splits.csv")[slide_id]["split"] == "test"
        assert len(run.of(slide_id).coords)


def test_the_latest_run_is_taken_when_none_is_named(finished):
    """Names are those of the folders; an unknown one is refused with the known ones."""
    assert run_names(finished) == ["dmia"]
    assert open_run(finished).name == "dmia"
    with pytest.raises(
        DataError, match=r"runs/other: no finished run: choose from dmia"
    ):
        open_run(finished, "other")


def test_a_folder_without_runs_is_told_so(tmp_path):
    """A study that was never trained on has nothing to show."""
    with pytest.raises(DataError, match="no finished run there: give a study folder"):
        open_run(tmp_path)


def test_an_unknown_slide_is_told_so(finished):
    """A slide that the run does not know is refused by name."""
    with pytest.raises(DataError, match="says nothing of nobody"):
        open_run(finished).of("nobody")


def test_a_slide_that_is_gone_is_told_so(finished, monkeypatch):
    """A slide of which nothing is known but features cannot be shown."""
    from dataclasses import replace

    from coverslip.pipeline.predict import scoring

    real = scoring.gather
    monkeypatch.setattr(
        scoring,
        "gather",
        lambda *given, **how: [
            replace(source, slide=None) for source in real(*given, **how)
        ],
    )
    run = RunScores(finished, "dmia")
    with pytest.raises(SlideError, match="its slide is not known"):
        run.of(next(iter(run.rows)))
