"""Where networks run, and what is told before anything heavy happens."""

import os
import subprocess
import sys

import pytest
import torch

from coverslip.errors import MissingExtraError, OptionError
from coverslip.prepare.encoders import devices
from coverslip.prepare.encoders.devices import (
    choose_device,
    choose_runtime,
    cpu_flags,
    cpu_has,
    precision_advice,
)


def test_devices_this_machine_lacks_are_refused(monkeypatch):
    """Without a GPU, "auto" is the CPU, and "cuda" or fp16 say what to do instead."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(OptionError, match="--device cpu"):
        choose_device("cuda")
    with pytest.raises(OptionError, match="--precision bf16"):
        choose_device("auto", "fp16")
    with pytest.raises(OptionError, match="'gpu' is unknown: choose from auto"):
        choose_device("gpu")
    with pytest.raises(OptionError, match="'fp8' is unknown"):
        choose_device("cpu", "fp8")


def test_auto_takes_the_gpu(monkeypatch):
    """With a GPU, "auto" is the GPU, and "cpu" stays the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto", "fp16") == "cuda"
    assert choose_device("cpu") == "cpu"
    with pytest.raises(OptionError, match="int8: runs on a CPU only"):
        choose_device("cuda", "int8")
    with pytest.raises(OptionError, match="openvino: runs on a CPU only"):
        choose_runtime("openvino", "cuda")
    assert choose_runtime("auto", "cuda") == "torch"


def test_the_runtime_is_openvino_on_a_cpu_that_has_it(monkeypatch):
    """Without the extra it is PyTorch; what needs the extra says how to get it."""
    monkeypatch.setattr(devices, "find_spec", lambda _: True)
    assert choose_runtime("auto", "cpu") == "openvino"
    assert choose_runtime("torch", "cpu", "bf16") == "torch"
    with pytest.raises(OptionError, match="--runtime openvino"):
        choose_runtime("torch", "cpu", "int8")
    with pytest.raises(OptionError, match="'onnx' is unknown"):
        choose_runtime("onnx", "cpu")
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    assert choose_runtime("auto", "cpu") == "torch"
    for runtime, precision in (("openvino", "fp32"), ("auto", "int8")):
        with pytest.raises(MissingExtraError, match=r"coverslip\[openvino\]"):
            choose_runtime(runtime, "cpu", precision)


def alone(code, **environment):
    """Run code in a fresh interpreter; return what it prints."""
    given = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=given,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    "given",
    [
        *({"OMP_NUM_THREADS": value} for value in ("", "1", "3", "2,4", "many")),
        {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "2"},
    ],
)
def test_as_many_threads_without_torch_as_with_it(given):
    """So that features, whose sums the threads part, are the same either way."""
    code = (
        "import sys; from coverslip.prepare.encoders.devices import threads; "
        "print(threads(), 'torch' in sys.modules); import torch; "
        "print(threads(), torch.get_num_threads())"
    )
    without, loaded, by_ours, by_torch = alone(code, **given)
    assert loaded == "False"
    assert without == by_ours == by_torch


def test_torch_is_asked_for_a_gpu_only_where_there_may_be_one(monkeypatch, tmp_path):
    """Not with a build for CPUs, nor without a driver."""
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.setattr(devices, "_GPU_DRIVERS", [str(tmp_path / "driver")])
    monkeypatch.setattr(devices, "version", lambda _: "2.13.0+cu130")
    assert not devices._may_have_gpu()
    (tmp_path / "driver").touch()
    assert devices._may_have_gpu()
    monkeypatch.setattr(devices, "version", lambda _: "2.13.0+cpu")
    assert not devices._may_have_gpu()
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    assert devices._may_have_gpu()


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ({"avx2", "fma"}, {"fp32"}),
        ({"avx2", "avx512_bf16", "avx512_vnni"}, {"fp32", "bf16", "int8"}),
        ({"avx2", "avx_vnni"}, {"fp32", "int8"}),
        ({"asimd", "bf16"}, {"fp32", "bf16"}),
        (set(), {"fp32", "bf16", "int8"}),
    ],
)
def test_a_precision_that_the_cpu_only_imitates_is_told(monkeypatch, flags, has):
    """Where Linux names the instructions; where nothing is named nothing is said."""
    monkeypatch.setattr(devices, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for precision in ("fp32", "bf16", "int8"):
        assert cpu_has(precision) == (precision in has)
    said = precision_advice("bf16", "cpu")
    assert bool(said) == ("bf16" not in has)
    assert not said or "no instructions for bf16" in said
    assert precision_advice("fp32") == precision_advice("int8", "cpu") == ""


def test_instructions_are_read_from_linux(monkeypatch, tmp_path):
    """Of the first processor; on other systems there are none."""
    told = tmp_path / "cpuinfo"
    monkeypatch.setattr(devices, "_CPUINFO", told)
    assert cpu_flags() == frozenset()
    told.write_text("processor : 0\nflags\t\t: fpu avx2\nbugs : none\n")
    assert cpu_flags() == {"fpu", "avx2"}
    told.write_text("processor : 0\nFeatures : fp asimd bf16\n")
    assert cpu_flags() == {"fp", "asimd", "bf16"}
