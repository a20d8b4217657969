"""The command `plan`: exit codes, lines, JSON, and a command that runs as it is."""

import json
import shlex
import shutil

import pytest

from coverslip.tables import read_csv
from studies import LEARN


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Measure a moment, on a machine that does nothing else."""
    monkeypatch.setattr("coverslip.pipeline.plan.measuring.SECOND", 0.01)
    monkeypatch.setattr("psutil.getloadavg", lambda: (0.0, 0.0, 0.0))


def arguments(cohort, study, *more):
    """Return the words of a plan for the run that made `finished`."""
    places = ["plan", cohort.slides, "--labels", cohort.labels, "--study", study]
    return [*places, "--encoder", "fake", "--quiet", *LEARN, *more]


def test_the_printed_command_runs_as_it_is(cli, cohort, tmp_path):
    """Quoted, with every option that was given, a negated one and a repeated one too."""
    slides = tmp_path / "my slides"
    shutil.copytree(cohort.slides, slides)
    moved = type(cohort)(slides, cohort.labels)
    study = tmp_path / "a study"
    more = (
        "--epochs",
        "1",
        "--no-drop-ink",
        "--set",
        "dim=16",
        "--set",
        "attention=gated",
    )
    ran = cli(*arguments(moved, study, *more))
    assert ran.code == 0
    assert ran.out.startswith("ready")
    assert not study.exists()
    command = shlex.split(ran.out.splitlines()[-1])
    assert command[:3] == ["coverslip", "run", str(slides)]
    assert "--no-drop-ink" in command
    assert command.count("--set") == 2
    assert cli(*command[1:]).code == 0
    assert (study / "runs" / "dmia" / "model.safetensors").exists()


def test_what_has_to_be_mended_leaves_with_1_and_comes_first(cli, cohort, tmp_path):
    """The mended table that it writes is one that a plan is ready with."""
    rows = read_csv(cohort.labels)
    rows[0]["slide_id"], rows[1]["slide_id"] = "Slide-00", "slide_1"
    labels = tmp_path / "typos.csv"
    lines = [f"{row['slide_id']},{row['label']}" for row in rows]
    labels.write_text("slide_id,label\n" + "\n".join(lines) + "\n")
    mended, out = tmp_path / "mended.csv", tmp_path / "plan.json"
    wrong = type(cohort)(cohort.slides, labels)
    files = ("--labels-out", mended, "--out", out)
    ran = cli(*arguments(wrong, tmp_path / "study", *files))
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "not ready: 1 thing to mend"
    assert ran.out.splitlines()[1].startswith("error     labels: ")
    assert "'Slide-00' for 'slide_00' (spaces or separators)" in ran.out
    assert "when that is mended:" in ran.out
    near = json.loads(out.read_text())["labels"]["near"]
    assert {pair["label"] for pair in near} == {"Slide-00", "slide_1"}
    command = shlex.split(ran.out.splitlines()[-1])
    assert command[command.index("--labels") + 1] == str(mended)
    assert str(labels) not in command
    right = type(cohort)(cohort.slides, mended)
    assert cli(*arguments(right, tmp_path / "study")).code == 0


def test_json_is_the_whole_plan_and_nothing_beside_it(cli, cohort, tmp_path):
    """With the command, for a program that starts it."""
    ran = cli(*arguments(cohort, tmp_path / "study", "--json"))
    facts = json.loads(ran.out)
    assert facts["ready"] is True
    assert facts["command"].startswith("coverslip run ")
    assert "--json" not in facts["command"]
    assert facts["estimate"]["patches"]["likely"] == 40


def filed(cohort, folder, *top):
    """Write the file of options of a study, with its lines at the top."""
    where = [f'slides = ["{cohort.slides}"]', f'labels = "{cohort.labels}"', *top]
    train = ["[train]", "epochs = 1", "lr = 0.001"]
    split = ["[split]", "val_share = 0.2", "test_share = 0.2"]
    path = folder / "mine.toml"
    encoder = ["[features]", 'encoder = "fake"']
    path.write_text("\n".join([*where, "quiet = true", *encoder, *train, *split]))
    return path


@pytest.mark.parametrize("out", ["study", None])
def test_a_file_of_options_says_the_study_and_its_command_runs(
    cli, cohort, tmp_path, monkeypatch, out
):
    """Its `out` is the study; --out is the plan's own, on the command line only."""
    monkeypatch.chdir(tmp_path)
    config = filed(cohort, tmp_path, *([f'out = "{out}"'] if out else []))
    given = ("plan", "--config", config.name)
    ran = cli(*given, "--out", "plan.json")
    assert ran.code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"mine.toml", "plan.json"}
    told = json.loads(cli(*given, "--json").out)["command"]
    assert told == json.loads((tmp_path / "plan.json").read_text())["command"]
    assert told == ran.out.splitlines()[-1]
    assert cli(*shlex.split(told)[1:]).code == 0
    assert (tmp_path / "study" / "runs" / "dmia" / "model.safetensors").exists()


def test_what_is_typed_goes_before_the_file_in_the_command_too(cli, cohort, tmp_path):
    """The study, an option, and the labels that were mended."""
    config = filed(cohort, tmp_path, 'out = "study"')
    mended, other = tmp_path / "mended.csv", tmp_path / "other"
    words = ("--study", other, "--epochs", "2", "--labels-out", mended, "--sample", "1")
    ran = cli("plan", "--config", config, *words)
    assert ran.code == 0
    assert shlex.split(ran.out.splitlines()[-1]) == [
        *("coverslip", "run", "--labels", str(mended), "--out", str(other)),
        *("--epochs", "2", "--config", str(config)),
    ]


@pytest.mark.parametrize(
    "more",
    [
        ("--out", "study"),
        ("--labels-out", "study"),
        ("--sample", "0"),
        ("--labels-from-names",),
        ("--precision", "int9"),
        ("--model", "clam_sb", "--preset", "paper"),
    ],
)
def test_a_wrong_option_leaves_with_2(cli, cohort, tmp_path, more):
    """Neither slides nor labels were looked at."""
    assert cli(*arguments(cohort, tmp_path / "study", *more)).code == 2


def test_many_of_one_kind_are_one_line(cli, cohort, tmp_path):
    """The lines stay few; JSON has all names."""
    slides = tmp_path / "slides"
    shutil.copytree(cohort.slides, slides)
    for number in range(6):
        (slides / f"broken_{number}.tif").write_bytes(b"no slide")
    moved = type(cohort)(slides, cohort.labels)
    ran = cli(*arguments(moved, tmp_path / "study"))
    assert ran.code == 1
    assert (
        "slides: 6 (broken_0.tif, broken_1.tif, broken_2.tif and 3 more): " in ran.out
    )
