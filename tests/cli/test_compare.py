"""`compare`: prints the table, tells what to mind, refuses in one line."""

import pytest

from coverslip.tables import write_csv


def run(folder, chances, fold=None):
    """Write a run of slides that are normal and tumor in turn."""
    rows = [
        {
            "slide_id": f"s{i}",
            "split": "test",
            "label": ("no", "yes")[i % 2],
            "predicted": ("no", "yes")[chance >= 0.5],
            "probability_no": 1 - chance,
            "probability_yes": chance,
            "threshold": 0.5,
            **({} if fold is None else {"fold": fold, "repeat": 0}),
        }
        for i, chance in enumerate(chances)
    ]
    write_csv(folder / "predictions.csv", list(rows[0]), rows)
    return folder


def test_the_table_is_printed_and_written(cli, tmp_path):
    """On standard output; the first run is the reference when none is named."""
    one = run(tmp_path / "runs/one", [0.1, 0.9, 0.3, 0.8, 0.6, 0.4])
    two = run(tmp_path / "runs/two", [0.2, 0.9, 0.3, 0.1, 0.6, 0.4])
    ran = cli("compare", one, two)
    assert (ran.code, ran.complaints) == (0, [])
    assert "| one | 0.889 (" in ran.out
    assert "AUC less one's" in ran.out
    assert f"written: {tmp_path / 'runs/comparison'}/comparison.csv" in ran.out
    names = sorted(path.name for path in (tmp_path / "runs/comparison").iterdir())
    assert names == ["comparison.csv", "comparison.json", "comparison.png"]
    other = cli("compare", one, two, "--reference", two, "--out", tmp_path / "o")
    assert "AUC less two's" in other.out


def test_what_must_be_minded_is_told_beside_the_table(cli, tmp_path):
    """Notes go to standard error, so the table can be piped."""
    one = run(tmp_path / "runs/one", [0.1, 0.9, 0.3, 0.8, 0.6, 0.4])
    two = run(tmp_path / "runs/two", [0.1, 0.9, 0.3, 0.8], fold=1)
    ran = cli("compare", one, two)
    assert ran.code == 0
    missing, folds = ran.complaints
    assert missing.startswith("note: one: 2 slides are not in every run")
    assert folds.startswith("note: one, two: one is cross-validated and the other")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ([], "two or more runs"),
        (["nowhere"], "no such file"),
        (["two", "--reference", "three"], "reference three is none of the runs"),
        (["two", "--subset", "val"], "no judged slides in 'val'"),
    ],
)
def test_what_cannot_be_compared_is_one_line(cli, tmp_path, monkeypatch, more, named):
    """Named, with code 1, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        run(tmp_path / name, [0.1, 0.9, 0.3, 0.8])
    ran = cli("compare", "one", *more)
    assert ran.code == 1
    assert len(ran.complaints) == 1
    assert named in ran.complaints[0]
    assert not (tmp_path / "comparison").exists()
