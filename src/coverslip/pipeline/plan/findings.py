"""What a look at a cohort finds to be wrong with it, all of it in one list."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from coverslip.errors import Complain, CoverslipError

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""It must be mended; it should be looked at; it is good to know. The worst first."""

SHOWN = 3
"""Names that a line shows."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: How bad it is.
        about: What it concerns: slides, labels, split, encoder, study, disk.
        text: What is the matter, and what to do about it, in one line.
        names: Every slide, label or case that it concerns.
    """

    severity: Severity
    about: str
    text: str
    names: tuple[str, ...] = ()


@dataclass
class Findings:
    """A list of findings that grows; one thing is listed once."""

    found: list[Finding] = field(default_factory=list)

    def add(
        self, severity: Severity, about: str, text: str, names: Sequence[str] = ()
    ) -> None:
        """Add a finding, unless the same is there."""
        finding = Finding(severity, about, text, tuple(names))
        if finding not in self.found:
            self.found.append(finding)

    def listing(self, about: str, severity: Severity = "error") -> Complain:
        """Return something that lists the errors it is told of."""

        def complain(error: CoverslipError) -> None:
            self.add(severity, about, str(error))

        return complain

    def ordered(self) -> tuple[Finding, ...]:
        """Return the findings, the worst first."""
        return tuple(sorted(self.found, key=lambda one: SEVERITIES.index(one.severity)))


def few(names: Iterable[str], shown: int = SHOWN) -> str:
    """Return the first names, and how many there are beside them."""
    names = list(names)
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")
