"""Options are checked when they are made, and cannot be changed afterwards."""

import pytest
from pydantic import Field, ValidationError

from coverslip.errors import OptionError
from coverslip.options import Options
from coverslip.prepare.feature_options import FeatureOptions
from coverslip.prepare.patches import PatchOptions
from coverslip.prepare.segmentation import TissueOptions


class Tea(Options):
    """Options of a stage."""

    minutes: float = Field(3.0, gt=0)
    kind: str = "black"


class Table(Options):
    """Options that hold others."""

    tea: Tea = Field(default_factory=Tea)


def test_a_wrong_value_is_named_with_the_reason():
    """One line: the class, the option, the value, what is allowed."""
    with pytest.raises(OptionError) as error:
        Tea(minutes=-1)
    assert str(error.value) == "Tea: minutes=-1: Input should be greater than 0"


def test_an_unknown_option_is_refused_and_each_fault_is_named():
    """Nothing is dropped in silence, and one call shows all that is wrong."""
    with pytest.raises(OptionError) as error:
        Tea(minuts=4, minutes=0)
    assert "minuts is not an option" in str(error.value)
    assert "minutes=0" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_fault_within_is_named_with_its_own_class():
    """Options of options are checked in the same words."""
    with pytest.raises(OptionError, match=r"^Tea: minutes=0"):
        Table(tea={"minutes": 0})


def test_options_are_immutable_and_comparable():
    """Changing one makes another, checked again; equal values are equal options."""
    tea = Tea()
    with pytest.raises(ValidationError):
        tea.minutes = 5
    longer = tea.replace(minutes=5)
    assert (tea.minutes, longer.minutes, longer.kind) == (3.0, 5.0, "black")
    assert longer == Tea(minutes=5) != tea
    with pytest.raises(OptionError):
        tea.replace(minutes=-5)
    with pytest.raises(OptionError, match="sugar"):
        tea.replace(sugar=1)


@pytest.mark.parametrize("options", [TissueOptions, PatchOptions, FeatureOptions])
def test_every_stage_describes_its_options_and_comes_back_from_its_facts(options):
    """The command line is made from descriptions; a file's facts give the options."""
    assert all(field.description for field in options.model_fields.values())
    assert options(**options().facts()) == options()


def test_the_defaults_are_those_of_the_seed():
    """256 px patches at 20x, side by side, with a tissue threshold of 0.8."""
    options = PatchOptions()
    assert (options.mpp, options.size, options.threshold) == (0.5, 256, 0.8)
    assert (options.step, options.overlap) == (256, 0)
    assert FeatureOptions().encoder == "resnet50"
    assert TissueOptions().mask_mpp == pytest.approx(0.25 * 32)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mpp": 0},
        {"mpp": "fine"},
        {"size": 4},
        {"stride": 0},
        {"threshold": 1},
        {"threshold": -0.1},
    ],
)
def test_patches_that_make_no_sense_are_refused(wrong):
    """A scale, size, stride or threshold outside its range is an OptionError."""
    with pytest.raises(OptionError, match=next(iter(wrong))):
        PatchOptions(**wrong)


@pytest.mark.parametrize(("stride", "overlap"), [(128, 128), (256, 0), (300, -44)])
def test_overlap_follows_from_the_stride(stride, overlap):
    """A stride under the size overlaps, one above it leaves gaps."""
    assert PatchOptions(stride=stride).overlap == overlap
