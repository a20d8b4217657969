"""`--config` and `init`: options from a file, checked, and saved with each run."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from coverslip.cli import COMMANDS, LazyGroup
from coverslip.cli import cli as group
from coverslip.cli.init import TO_FILL_IN, template
from coverslip.cli.keys import KINDS, SECTIONS, params_of
from coverslip.cli.learn import options_from, plan_from
from coverslip.cli.options import pick
from coverslip.cli.prepare import preparation_from
from coverslip.learn.models.zoo import entry
from coverslip.learn.train_options import TrainOptions
from coverslip.pipeline.prepare.preparation import PrepareOptions
from coverslip.testing import toy_cohort
from studies import files, same

TAKING = (
    *("tissue", "patches", "features", "train", "plan", "run"),
    *("predict", "heatmap", "froc", "camelyon16"),
)
NOT_IN_THE_FILE = {"config", "as_json", "check", "miniature"}
"""What a call does once, rather than what a study is made with."""
ONCE = {"plan": {"out", "labels_out", "sample", "sample_seed"}}
"""The same, of one command."""


def command(name) -> click.Command:
    """Return a command."""
    found = LazyGroup().get_command(None, name)
    assert found is not None
    return found


def parsed(name, *words):
    """Return what a command makes of its words."""
    above = click.Context(group, info_name="coverslip", **group.context_settings)
    return command(name).make_context(name, [str(w) for w in words], parent=above)


def written(folder, text):
    """Write a file of options."""
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", TAKING)
def test_every_option_of_a_command_has_its_key(name):
    """What can be said on the command line can be said in the file."""
    own = command(name)
    reached = {param.name for param in params_of(own).values()}
    once = NOT_IN_THE_FILE | ONCE.get(name, set())
    assert {p.name for p in own.params} - reached == once & {p.name for p in own.params}


def test_the_page_names_every_command_that_takes_a_file():
    """And no other does."""
    page = Path(__file__).parents[2] / "docs" / "usage.md"
    (told,) = re.findall(r"`--config` is taken by ([^:]*):", page.read_text())
    assert set(re.findall(r"`(\w+)`", told)) == set(TAKING)
    taking = {n for n in COMMANDS if "config" in {p.name for p in command(n).params}}
    assert taking == set(TAKING)


def test_every_field_of_the_options_is_a_key_of_some_command():
    """None is in the file for nothing."""
    reached = {key for name in TAKING for key in params_of(command(name))}
    wanted = {(s, f) for s, kind in KINDS.items() for f in kind.model_fields}
    assert wanted <= reached


def uncommented():
    """Return the file that `init` writes with every key taken off its #."""
    return re.sub(r"(?m)^#(\w+ = )", r"\1", template())


def test_all_of_the_written_file_uncommented_is_the_defaults(tmp_path):
    """Each key is there, parses, and says what holds without it."""
    path = written(tmp_path, uncommented())
    table = tomllib.loads(path.read_text())
    for name, kind in KINDS.items():
        assert kind.model_fields.keys() <= table[name].keys()
    assert table["model"]["options"].keys() == entry("dmia").options.model_fields.keys()
    with parsed("run", "--config", path) as ctx:
        given = ctx.params
        assert options_from(given).of_model() == entry("dmia").options()
        assert options_from(given).training == TrainOptions()
        made = preparation_from(given["out"], given)
        assert made.options == PrepareOptions()
        plan = plan_from(given["out"], given)
        bare = parsed("run", "x", "--out", "y").params
        assert plan == plan_from(given["out"], bare)
    assert given["slides"] == (tmp_path / "slides",)
    left = {*TO_FILL_IN, "slides", "labels", "out"}
    assert {k: v for k, v in given.items() if k not in left} == {
        k: v if v is not None else given[k] for k, v in bare.items() if k not in left
    }


def test_init_writes_it_and_leaves_one_that_is_there(cli, tmp_path, monkeypatch):
    """Without a name it is coverslip.toml; a second call refuses."""
    monkeypatch.chdir(tmp_path)
    assert cli("init").code == 0
    assert (tmp_path / "coverslip.toml").read_text() == template()
    again = cli("init", "coverslip.toml")
    assert again.code == 1
    assert "coverslip.toml: exists already" in again.complaints[0]


def test_the_command_line_goes_before_the_file_and_that_before_the_defaults(tmp_path):
    """Each of the three is seen where the one before says nothing."""
    path = written(
        tmp_path, 'out = "study"\n[train]\nepochs = 7\nlr = 1\n[patches]\nmpp = 1.0'
    )
    with parsed("run", "s", "--config", path, "--epochs", "9") as ctx:
        training = options_from(ctx.params).training
        assert (training.epochs, training.lr, training.clip) == (9, 1.0, 5.0)
        assert preparation_from(tmp_path, ctx.params).options.patches.mpp == 1.0
        assert ctx.params["out"] == tmp_path / "study"


def test_options_of_the_model_are_joined_key_by_key(tmp_path):
    """--set changes one and leaves the file's others; another model takes none."""
    path = written(tmp_path, "[model.options]\nk = 3\ntau = 1")
    with parsed("train", "s", "--config", path, "--set", "k=2") as ctx:
        own = options_from({**ctx.params, "model": "dmia"}).of_model()
        assert (own.k, own.tau) == (2, 1.0)
        options_from({**ctx.params, "model": "mean", "settings": ()})


def test_none_turns_an_option_off(tmp_path):
    """Where None is a choice it can be written, in the file and on the command line."""
    path = written(tmp_path, '[train]\npatience = "none"')
    for words in (("--config", path), ("--patience", "none")):
        with parsed("run", "s", "--out", "o", *words) as ctx:
            assert options_from(ctx.params).training.patience is None
    with parsed("run", "s", "--out", "o", "--config", path, "--patience", "3") as ctx:
        assert options_from(ctx.params).training.patience == 3
    assert pick(TrainOptions, {}).patience == 20


def test_a_command_takes_its_own_section_first(tmp_path):
    """`out` of predict is a table, that of a study a folder; train works in that."""
    path = written(tmp_path, 'out = "study"\n[predict]\nout = "p.csv"\nmodel = "m"')
    assert parsed("predict", "--config", path, "m", "s").params["out"].name == "p.csv"
    assert parsed("train", "--config", path).params["study"] == tmp_path / "study"
    looked = parsed("plan", "--config", path, "s").params
    assert (looked["study"], looked["out"]) == (tmp_path / "study", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch = 3", "epoch: no such key: did you mean [train] epochs?"),
        ("[train]\nepoch = 3", "[train] epoch: no such key: did you mean [train] ep"),
        ("[train]\nencoder = 'x'", "did you mean [features] encoder?"),
        ("[trian]\nlr = 1", "trian: no such key: did you mean [train]?"),
        ("[train]\nxyzzy = 1", "[train] xyzzy: no such key: there are epochs, pat"),
        (
            "[train]\nepochs = 'ten'",
            "[train] epochs='ten': Input should be a valid int",
        ),
        ("[train]\nepochs = 0", "[train] epochs=0: Input should be greater"),
        ("[train]\nseeds = 2.5", "[train] seeds=2.5: write a whole number"),
        ("[train]\nseeds = true", "[train] seeds=True: write a whole number"),
        ("[train]\nseeds = 0", "[train] seeds=0: 0 is not in the range x>=1"),
        ("[features]\ndevice = 'abacus'", "[features] device='abacus': Input should"),
        ("engine = 'steam'", "engine='steam': 'steam' is not one of 'local', 'ray'"),
        ("labels = ['a', 'b']", "labels=['a', 'b']: write one value, not a list"),
        ("labels = 3", "labels=3: write a text in quotes"),
        ("slides = [3]", "slides=3: write a text in quotes"),
        ("quiet = 1", "quiet=1: write true or false"),
        ("train = 3", "train=3: write a section [train]"),
        (
            "[model]\nname = 'dima'",
            "[model] name='dima': no such name: did you mean d",
        ),
        ("[model]\nname = []", "[model] name=[]: name a model, or leave it out"),
        ("[model]\nname = [['x']]", "[model] name=['x']: no such name: there are dmia"),
        ("[model]\npreset = 'pape'", "preset='pape': no such preset: did you mean pap"),
        ("[model]\noptions = 3", "[model] options=3: write [model.options]"),
        (
            "[model.options]\nta = 1",
            "[model.options] ta: no such key: did you mean tau?",
        ),
        ("[model.options]\nk = 'x'", "[model.options] k='x': Input should be a valid"),
        ("a = = 2", "not TOML (Invalid value (at line 1, column 5))"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(cli, tmp_path, text, told):
    """With the key, and what may have been meant."""
    path = written(tmp_path, text)
    ran = cli("run", "slides", "--out", tmp_path / "study", "--config", path)
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert str(path) in ran.complaints[0]
    assert told in ran.complaints[0]
    assert not (tmp_path / "study").exists()


def test_a_file_is_checked_whole_whoever_it_is_for(cli, tmp_path):
    """`tissue` refuses what would fail in the training tomorrow."""
    path = written(tmp_path, "[train]\nlr = -1")
    ran = cli("tissue", "slides", "--out", tmp_path, "--config", path)
    assert "[train] lr=-1" in ran.complaints[0]


def test_a_missing_file_is_told(cli, tmp_path):
    """The remedy is `init`."""
    ran = cli("tissue", "s", "--out", tmp_path, "--config", tmp_path / "no.toml")
    assert "no.toml: no such file: `coverslip init no.toml`" in ran.complaints[0]


def test_a_run_is_made_again_from_the_file_beside_it(
    cli, finished, tmp_path, monkeypatch
):
    """Every file comes out the same, that one too; a second time none is touched."""
    resolved = finished / "runs" / "dmia" / "config.toml"
    monkeypatch.chdir(tmp_path)
    words = ("run", "--config", resolved, "--out", "again", "--quiet")
    assert cli(*words).code == 0
    names = files(finished)
    assert files(tmp_path / "again").keys() == names.keys()
    differing = [n for n in names if not same(finished / n, tmp_path / "again" / n)]
    assert differing == []
    before = files(tmp_path / "again")
    del before["slides.csv"]
    assert cli(*words).code == 0
    after = files(tmp_path / "again")
    assert {name: after[name] for name in before} == before


def test_the_resolved_file_names_every_option_and_is_kept(cli, tmp_path):
    """A preset and --set are in it as what they came to; once more leaves it alone."""
    toy = toy_cohort(tmp_path / "toy", slides=16, patches=8, dim=4)
    study = tmp_path / "study"
    words = "--preset paper --set k=2 --set dim=8 --epochs 1 --seeds 2 --partitions 1"
    where = ("--labels", toy.labels, "--features", toy.features, "--name", "x")
    splits = ("--val-share", "0.3", "--test-share", "0.3", "--quiet")
    assert cli("train", study, *where, *words.split(), *splits).code == 0
    path = study / "runs" / "x" / "config.toml"
    table = tomllib.loads(path.read_text())
    assert table["train"]["patience"] == "none"
    assert (table["train"]["epochs"], table["train"]["seeds"]) == (1, 2)
    assert (table["model"]["options"]["k"], table["model"]["name"]) == (2, "dmia")
    assert table["train"]["features"] == str(toy.features)
    assert table["out"] == "../.."
    stamp = path.stat().st_mtime_ns
    assert cli("train", "--config", path, "--quiet").code == 0
    assert path.stat().st_mtime_ns == stamp
    assert "train ANOTHER_STUDY --config config.toml" in path.read_text()
    other = tmp_path / "other"
    assert cli("train", other, "--config", path, "--quiet").code == 0
    made = [folder / "runs" / "x" / "predictions.csv" for folder in (study, other)]
    assert same(*made)


def test_sections_are_those_of_the_options_and_of_commands():
    """No section is left without a command."""
    for name, section in SECTIONS.items():
        assert name in {"", "model", *KINDS, *COMMANDS}
        assert section.only in {None, *COMMANDS}
