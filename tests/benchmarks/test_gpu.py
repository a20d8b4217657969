"""What the benchmark of a GPU computes, and that its parts run, tiny and on a CPU."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from benchmarks.gpu import __main__ as program
from benchmarks.gpu import encoder, features, training
from benchmarks.gpu.plan import TRIAL
from benchmarks.speed import training_auc
from benchmarks.speed.measure import Timing, met, verdict
from benchmarks.speed.mosaic import BLOCK, painted_pieces

from coverslip.store import read_json
from coverslip.testing import fake_encoder

TINY = replace(TRIAL, side=32, slides=4, patches=40, later=2)


@pytest.mark.parametrize(
    ("taken", "told"),
    [
        ({"gpu": 9, "products": 5}, encoder.PRODUCTS),
        ({"gpu": 9, "products": 2, "launches": 8.5}, encoder.LAUNCHES),
        ({"gpu": 9, "products": 2, "launches": 1}, encoder.MEMORY),
        ({"gpu": 5, "bus": 9}, "the bus"),
        (
            {"gpu": 5, "preparation": 6, "launches": 4},
            "the host's preparation of patches",
        ),
        ({"gpu": 5, "preparation": 4, "launches": 5}, encoder.LAUNCHES),
        ({"gpu": 6, "bus": 3, "preparation": 2}, encoder.SERIAL),
    ],
)
def test_the_longest_of_host_bus_and_gpu_limits(taken, told):
    """Unless it is well below the whole; of the GPU's own time products come first."""
    nothing = dict.fromkeys(("preparation", "bus", "launches", "gpu", "products"), 0.0)
    assert encoder.limited_by({"whole": 10, **nothing, **taken}) == told


def test_each_step_of_an_encoder_is_timed_for_all_batches():
    """On patches of its own size."""
    patches = np.zeros((2, 32, 32, 3), np.uint8)
    taken = encoder.steps(fake_encoder(), patches, replace(TINY, batches=3))
    assert list(taken) == ["whole", "preparation", "bus", "launches", "gpu"]
    assert all(seconds > 0 for seconds in taken.values())


def test_without_real_data_weights_are_random_and_patches_noise(monkeypatch, tmp_path):
    """They load as published ones do."""
    monkeypatch.setenv("COVERSLIP_DATA", str(tmp_path / "nowhere"))
    weights = encoder.some_weights(TINY, tmp_path)
    assert encoder.resnet50_trunk(weights).stride_on == "3x3"
    assert encoder.some_patches(2).shape == (2, 256, 256, 3)
    assert features.slide(TINY) == []


def test_pieces_of_a_painted_slide_are_glass_and_tissue():
    """The first is paler than all others, which a mosaic takes for tissue."""
    glass, *tissue = painted_pieces(2)
    assert {piece.shape for piece in (glass, *tissue)} == {(BLOCK, BLOCK, 3)}
    assert glass.mean() > max(piece.mean() for piece in tissue)


def test_the_program_is_timed_with_and_without_its_start(monkeypatch, tmp_path):
    """A row for its defaults and one for more readers, with what was waited."""
    laid = features.lay.__annotations__["return"]
    monkeypatch.setattr(
        features, "lay", lambda slide, study: laid(slide, study, slide, study, 100)
    )
    monkeypatch.setattr(features, "some_weights", lambda *_: tmp_path)
    monkeypatch.setattr(
        features,
        "take_turns",
        lambda runs, *_, **__: {
            name: Timing((4.0,), (1.0 if name == "start" else 6.0,), items)
            for name, (_, items) in runs.items()
        },
    )
    monkeypatch.setattr(features, "idle", lambda *_: {"encoder_idle": 0.5})
    rows = features.timed(tmp_path / "a.tif", "a slide", tmp_path, TINY)
    assert len({row["who"] for row in rows}) == len(rows) == 2
    assert {row["per_second_without_start"] for row in rows} == {20}
    assert rows[0] | {"who": ""} == {
        "what": "whole process, a slide, 100 patches of 224 px",
        "who": "",
        "weights": tmp_path.name,
        "per_second": 16.7,
        "per_second_without_start": 20,
        "per_cpu_second": 25,
        "seconds": 4,
        "wall_seconds": 6,
        "start_seconds": 1,
        "encoder_idle": 0.5,
    }


def test_epochs_stand_beside_the_published_programs(checkout):
    """What is asked is asked of the fast way; the rival's time is of all bags."""
    rows = training.main(replace(TINY, dtfd=checkout), "dmia")
    *ours, rival = rows
    assert [row["who"] for row in ours] == [f"dmia, {way}" for way in training.WAYS]
    assert [row.get("bar") for row in ours] == [None, None, training.BARS]
    assert all(row["wall_times_rival"] > 0 for row in ours)
    assert {row["bags"] for row in ours} == {"in memory"}
    assert rival["who"] == "DTFD-MIL, from 2 of the slides"
    assert rival["wall_seconds"] == ours[-1]["rival_seconds"]


def test_epochs_alone_are_not_judged(monkeypatch):
    """Without the published program; bags that do not fit are fewer, and said so."""
    each = TINY.patches * training.DIM * 2
    monkeypatch.setattr(training, "room_on", lambda _: 3.5 * each)
    rows = training.main(TINY, "dmia")
    assert met(rows[-1]) is None
    assert verdict(rows[-1]) == "not measured"
    assert rows[0]["what"] == "an epoch, 3 slides of 40 x 1024 (4 do not fit)"


def test_a_study_is_reckoned_from_a_fold(monkeypatch):
    """25 first epochs, and 99 times 25 later ones."""
    monkeypatch.setattr(training, "fold", lambda *_, **__: ([9.0, 2, 3, 1], "there"))
    (row,) = training.study(TINY)
    assert row["minutes"] == float(f"{25 * (9 + 99 * 2) / 60:.3g}")
    assert row["bags"] == "there"


def test_a_fold_trains_on_the_others():
    """As many epochs as are asked for."""
    taken, bags_lie = training.fold(training.bags(10, 30), TINY, epochs=2)
    assert len(taken) == 2
    assert bags_lie == "in memory"


def test_a_way_to_learn_is_within_noise_if_its_interval_holds_zero():
    """The standard error is of the differences of the same seeds."""
    plain = [0.9, 0.8, 0.7]
    same = training_auc.compared([0.91, 0.79, 0.7], plain)
    assert same["within_noise"]
    assert same["difference"] == 0
    assert same["standard_error"] == pytest.approx(0.01 / 3**0.5, abs=1e-4)
    worse = training_auc.compared([0.8, 0.7, 0.61], plain)
    assert not worse["within_noise"]
    assert worse["difference"] == pytest.approx(-0.0967, abs=1e-4)


def test_made_up_patches_show_tumour():
    """Noise, moved by as much as is said."""
    pool = training_auc.made_up_pool(np.random.default_rng(0))
    apart = pool.features[pool.tumour].mean(0) - pool.features[~pool.tumour].mean(0)
    assert np.linalg.norm(apart) == pytest.approx(training_auc.MADE_UP[2], abs=0.2)
    assert set(pool.part) == {"train", "val"}


def test_a_part_that_fails_is_a_row(monkeypatch, tmp_path):
    """The others' rows are written before and after; no path of the machine is told."""
    lost = partial(open, tmp_path / "lost.txt")
    found = partial(list, [{"what": "a", "who": "b"}])
    parts = [("one", found), ("two", lost), ("three", found)]
    monkeypatch.setattr(program, "parts", lambda _: parts)
    out, seen = tmp_path / "gpu.json", []
    write = program.store.write_json
    monkeypatch.setattr(
        program.store,
        "write_json",
        lambda path, facts: (seen.append(len(facts["rows"])), write(path, facts)),
    )
    program.main(TINY, out)
    assert seen == [1, 2, 3]
    facts = read_json(out)
    assert [row["stage"] for row in facts["rows"]] == ["one", "two", "three"]
    failed = facts["rows"][1]["failed"]
    assert failed.startswith("FileNotFoundError: ")
    assert failed.endswith("'lost.txt'")
    assert facts["gpu"] == {"card": "none: a trial run"}


def test_nothing_measured_takes_no_results_place(monkeypatch, tmp_path):
    """Where every part fails the earlier file stays."""
    lost = partial(open, tmp_path / "lost.txt")
    monkeypatch.setattr(program, "parts", lambda _: [("one", lost), ("two", lost)])
    out = tmp_path / "gpu.json"
    out.write_text("earlier")
    assert not program.measured(program.main(TINY, out))
    assert out.read_text() == "earlier"
