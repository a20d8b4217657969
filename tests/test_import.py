"""The package and its help load quickly, and every public name is there."""

import subprocess
import sys
from pathlib import Path

import pytest

import coverslip
from coverslip.cli import COMMANDS

HEAVY = ("torch", "numpy", "cv2", "openslide", "matplotlib", "sklearn", "h5py", "ray")
PROBE = """
import sys
{act}
print(",".join(name for name in {heavy!r} if name in sys.modules))
"""


@pytest.mark.parametrize(
    "act",
    [
        "import coverslip",
        "import coverslip; dir(coverslip); coverslip.__version__",
        "from coverslip.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from coverslip.cli import main\ntry: main(['--vers'])\nexcept SystemExit: pass",
    ],
)
def test_nothing_heavy_is_loaded(act):
    """Neither the import nor the help waits for torch, or anything else large."""
    code = PROBE.format(act=act, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


LIGHT = "from coverslip import {}\nimport sys\nprint('torch' in sys.modules)"


def test_public_options_load_no_torch():
    """Those of stages that load it, too: they lie apart."""
    names = [name for name in coverslip.__all__ if name.endswith("Options")]
    code = LIGHT.format(", ".join([*names, "FrocOptions"]))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


ASKED = """
import sys
from contextlib import suppress
from coverslip.cli import main
for words in {asked!r}:
    with suppress(SystemExit):
        main(words)
    print(f"#{{sys.modules.keys() & {{'torch', 'sklearn', 'matplotlib'}} or ''}}")
"""


def test_no_help_and_no_mistake_waits_for_torch(tmp_path):
    """Options, names of models and files of options are checked without networks."""
    config = tmp_path / "wrong.toml"
    config.write_text("[model.options]\nhedas = 2\n", encoding="utf-8")
    train = ["train", str(tmp_path), "--labels-from-names"]
    run = ["run", str(tmp_path), "--out", str(tmp_path), "--labels-from-names"]
    wrong = [
        [*train, "--no-such-option"],
        [*train, "--epochs", "none"],
        [*train, "--epochs", "0"],
        [*train, "--model", "no_such_model"],
        [*train, "--set", "hedas=2"],
        [*train, "--name", ".."],
        [*train, "--config", str(config)],
        [*run, "--model", "no_such_model"],
        ["plan", str(tmp_path), "--labels-from-names", "--set", "hedas=2"],
        ["evaluate", "model", "--features", "features"],
        ["predict", "model", "slide", "--out", "out.csv", "--batch-size", "0"],
        ["export", str(tmp_path), "--hot-from", "2"],
        ["report", str(tmp_path), "--patches", "0"],
        ["view", str(tmp_path), "--port", "-1"],
    ]
    asked = [[name, "--help"] for name in COMMANDS] + wrong
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(asked=asked)],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = [line[1:] for line in done.stdout.splitlines() if line.startswith("#")]
    assert dict(zip(map(" ".join, asked), loaded, strict=True)) == dict.fromkeys(
        map(" ".join, asked), ""
    )
    assert len(done.stderr.splitlines()) >= len(wrong)


def test_commands_on_slides_wait_for_no_more_than_they_use():
    """Tissue and patches need no torch, no encoder, no cluster, no annotations."""
    heavy = (
        *("torch", "scipy", "sklearn", "matplotlib", "openvino", "ssl", "numpy.random"),
        "coverslip.prepare.encoders",
        "coverslip.prepare.annotations",
        "coverslip.pipeline.prepare.preparing",
        "coverslip.pipeline.cluster",
        "coverslip.learn",
        "coverslip.interop",
    )
    code = PROBE.format(act="import coverslip.cli.prepare", heavy=heavy)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


def test_every_public_name_resolves():
    """What `__all__` lists is there, once, and `dir` shows it."""
    assert len(set(coverslip.__all__)) == len(coverslip.__all__)
    assert dir(coverslip) == sorted(coverslip.__all__)
    for name in coverslip.__all__:
        assert getattr(coverslip, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    """So that `hasattr` and autocompletion work as everywhere."""
    assert not hasattr(coverslip, "no_such_thing")


def test_python_verbs_have_the_names_of_the_commands():
    """Whoever knows one knows the other."""
    of_the_command_line = {"init", "completion"}
    for name in COMMANDS.keys() - of_the_command_line:
        verb = getattr(coverslip, name)
        assert callable(verb)
        assert verb.__name__ == name


def test_the_type_checker_sees_the_same_names():
    """Names for people (`__all__`) and names for type checkers are one list."""
    lines = Path(coverslip.__file__).read_text(encoding="utf-8").splitlines()
    imports = [line for line in lines if line.lstrip().startswith("from coverslip.")]
    assert {line.rsplit(" as ")[1] for line in imports} == set(coverslip.__all__)
