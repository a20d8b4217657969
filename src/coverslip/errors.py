"""Every error coverslip raises on purpose; each message names the file and the remedy.

    CoverslipError                  catch this to catch them all
    ├── SlideError                  something is wrong with one slide
    │   ├── UnreadableSlideError    not a slide, truncated, or cannot be decoded
    │   ├── MissingMppError         micrometres per pixel unknown
    │   ├── TooSmallError           the slide is smaller than one patch
    │   ├── TooCoarseError          the asked scale is finer than the slide has
    │   └── DuplicateSlideError     two files carry the same slide id
    ├── DataError                   a table, mask, annotation or array is wrong
    │   ├── CorruptFileError        half-written or damaged
    │   ├── LabelError              labels missing, doubled, or of one class only
    │   └── UnsafePickleError       a pickle that asks for more than arrays
    ├── MismatchError               two things that do not belong together
    │   └── ParametersDifferError   made before, with other parameters
    ├── EncoderError                unknown encoder, or its weights are missing or wrong
    ├── OptionError                 an option's value, or its name, is not allowed
    ├── MissingExtraError           an optional dependency is not installed
    ├── ClusterError                a cluster cannot be reached, or does not see the files
    └── OutputError                 the output folder cannot be written (full, read-only)

    SlideWarning                    not an error: something about a slide to know of

What is not here: programming mistakes, which stay `TypeError`, `ValueError`, ...
A `SlideError` or `DataError` about one slide never ends a batch; an `OutputError` does.
"""

from collections.abc import Callable


class CoverslipError(Exception):
    """Base of every error that coverslip raises on purpose."""


class SlideWarning(UserWarning):
    """Something about one slide that its owner should know; the work goes on."""


Complain = Callable[[CoverslipError], None]
"""Told what is wrong by a check that could go on; it may list that, or raise it."""


def refuse(error: CoverslipError) -> None:
    """Raise what is wrong: the first of it ends the work."""
    raise error


class SlideError(CoverslipError):
    """Something is wrong with one slide."""


class TooSmallError(SlideError):
    """The slide is smaller than one patch."""


class UnreadableSlideError(SlideError):
    """The file is missing, not a slide, truncated, or cannot be decoded."""


class MissingMppError(SlideError):
    """The slide does not say how many micrometres a pixel measures."""


class TooCoarseError(SlideError):
    """The asked scale is finer than the slide's finest level."""


class DuplicateSlideError(SlideError):
    """Two files carry the same slide id."""


class DataError(CoverslipError):
    """A table, mask, annotation or array is wrong."""


class CorruptFileError(DataError):
    """A file is half-written or damaged."""


class LabelError(DataError):
    """Labels are missing, doubled, unknown, or all of one class."""


class UnsafePickleError(DataError):
    """A pickle asks for more than arrays; nothing in it was run."""


class MismatchError(CoverslipError):
    """Two things do not belong together, such as features of another encoder."""


class ParametersDifferError(MismatchError):
    """The output exists already and was made with other parameters."""


class EncoderError(CoverslipError):
    """The encoder is unknown, or its weights are missing or wrong."""


class OptionError(CoverslipError):
    """An option's value, or its name, is not allowed."""


class MissingExtraError(CoverslipError):
    """An optional dependency is not installed."""


class ClusterError(CoverslipError):
    """A cluster cannot be reached, or one of its machines cannot do the work."""


class OutputError(CoverslipError):
    """The output folder cannot be written: full, read-only, or not a folder."""
