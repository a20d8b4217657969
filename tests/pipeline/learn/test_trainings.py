"""Trainings elsewhere are those of here, and only paths and facts travel."""

import pickle
from dataclasses import dataclass, field

import pytest

from coverslip.errors import ClusterError, LabelError, OptionError
from coverslip.learn.splits import SplitOptions
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.learn.learn_options import LearnOptions
from coverslip.pipeline.learn.runs import TrainPlan, train_models
from coverslip.pipeline.learn.trainings import Job, Source, Trainings, digest
from coverslip.prepare.encoders import devices
from coverslip.testing import FakeEngine, toy_cohort
from studies import files, same

TRAINING = {"epochs": 2, "partitions": 2, "device": "cpu"}
MODELS = [
    LearnOptions(model="dmia", model_options={"dim": 8}, training=TRAINING),
    LearnOptions(model="mean", training=TRAINING),
]


@dataclass
class FarEngine(FakeEngine):
    """An engine that does all here, and weighs what would travel."""

    remote = True
    bytes: list[int] = field(default_factory=list)

    def run(self, task, items, network=None):
        """Yield the outcome of each item, as it would come back."""
        for outcome in super().run(task, items, network):
            self.bytes += [len(pickle.dumps(part)) for part in (task, outcome)]
            yield outcome


@pytest.fixture(scope="module", autouse=True)
def undrawn():
    """Draw no figures of the many small runs; other tests look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("coverslip.pipeline.judge.judging.draw_roc", lambda *_: None)
        patch.setattr(
            "coverslip.pipeline.judge.judging.draw_reliability", lambda *_: None
        )
        patch.setattr(
            "coverslip.pipeline.learn.learning.draw_training", lambda *_: None
        )
        yield


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return a toy study whose features are larger than any facts of it."""
    folder = tmp_path_factory.mktemp("toy")
    return toy_cohort(folder, slides=16, patches=400, dim=16)


def trained(toy, study, engine, models=MODELS, **changes):
    """Train two folds of two seeds of each model."""
    plan = TrainPlan(
        features=toy.features,
        splits=SplitOptions(val_share=0.3),
        folds=2,
        seeds=2,
        quiet=True,
        engine=engine,
        **changes,
    )
    return train_models(study, toy.labels, models, plan)


def test_folds_seeds_and_models_trained_elsewhere_are_the_same(toy, tmp_path):
    """File by file, figure by figure; each model has its run, on the same splits."""
    far = FarEngine()
    there = trained(toy, tmp_path / "there", far)
    here = trained(toy, tmp_path / "here", LocalEngine())
    assert [result.folder.name for result in there] == ["dmia", "mean"]
    for one, other in zip(there, here, strict=True):
        assert (one.summary, one.judged) == (other.summary, other.judged)
    runs = tmp_path / "here" / "runs"
    names = files(runs)
    assert files(tmp_path / "there" / "runs").keys() == names.keys()
    assert all(same(runs / name, tmp_path / "there" / "runs" / name) for name in names)
    splits = [runs / model / "fold_1" / "splits.csv" for model in ("dmia", "mean")]
    assert splits[0].read_bytes() == splits[1].read_bytes()
    assert len(far.seen) == 12  # two models: two folds of two seeds, and their means
    assert max(far.bytes) < toy.features.joinpath("toy_000.h5").stat().st_size


def test_a_finished_run_is_kept_elsewhere_too(toy, tmp_path):
    """Done again, no file is written."""
    one = [MODELS[1]]
    first = trained(toy, tmp_path, FarEngine(), one)
    before = files(tmp_path)
    assert trained(toy, tmp_path, FarEngine(), one)[0].summary == first[0].summary
    assert files(tmp_path) == before


def test_a_precision_that_saves_nothing_here_is_told_once(
    toy, tmp_path, capsys, monkeypatch
):
    """Whatever the number of trainings; of machines elsewhere nothing is known."""
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset({"avx2"}))
    half = LearnOptions(model="mean", training={**TRAINING, "precision": "bf16"})
    for engine, said in ((LocalEngine(), 1), (FarEngine(), 0)):
        trained(toy, tmp_path / str(said), engine, [half])
        told = "note: this CPU has no instructions for bf16"
        assert capsys.readouterr().err.count(told) == said


@pytest.mark.parametrize("engine", [LocalEngine(), FarEngine()])
def test_a_training_that_fails_ends_all(toy, tmp_path, engine):
    """With the error that it raised, not with an outcome."""
    labels = tmp_path / "labels.csv"
    lines = toy.labels.read_text().splitlines()
    subsets = ["train"] * 12 + ["val", "test"] * 2
    kinds = [f"{line},{part}" for line, part in zip(lines[1:], subsets, strict=True)]
    labels.write_text("\n".join(["slide_id,label,split", *kinds]) + "\n")
    plan = TrainPlan(features=toy.features, quiet=True, engine=engine)
    with pytest.raises(LabelError, match="validation: 2 slides of one class only"):
        train_models(tmp_path / "study", labels, MODELS, plan)


def test_two_models_need_two_names(toy, tmp_path):
    """Else one would write over the other."""
    with pytest.raises(OptionError, match="each model needs a run of its own name"):
        trained(toy, tmp_path, LocalEngine(), [MODELS[1], MODELS[1]])
    with pytest.raises(OptionError, match="each model needs a run of its own name"):
        trained(toy, tmp_path, LocalEngine(), name="same")


def test_a_machine_that_finds_other_slides_is_told_of(toy, tmp_path):
    """Rather than trained on what is there."""
    source = Source(toy.features, toy.labels)
    cohort = source.open()
    assert digest(cohort) == digest(source.open())
    job = Job(MODELS[1], 1, dict.fromkeys(cohort.bags, "train"), tmp_path)
    with pytest.raises(ClusterError, match="does not find the same slides"):
        Trainings(source, "another").do([job], cohort, FarEngine())
    assert list(tmp_path.iterdir()) == []
