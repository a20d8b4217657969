"""A plan in a few aligned lines: the verdict, what is wrong, how much, the command."""

from collections import Counter
from collections.abc import Iterator, Mapping

from coverslip.pipeline.plan.checking import subsets_of
from coverslip.pipeline.plan.estimating import Amount, Estimate
from coverslip.pipeline.plan.findings import Finding
from coverslip.pipeline.plan.planning import Plan

WIDE = 9
"""Letters of the first column."""

ALIKE_SHOWN = 3
"""Findings of one kind that are shown; the others are counted."""


def plan_lines(plan: Plan, command: str = "") -> Iterator[str]:
    """Give the lines that tell a person of a plan.

    Args:
        plan: The plan.
        command: The command that it is for.
    """
    yield _verdict(plan)
    yield from _findings(plan.findings)
    yield ""
    yield from (f"{name:<{WIDE}} {text}" for name, text in _figures(plan))
    if command:
        yield ""
        yield command if plan.ready else f"when that is mended:\n{command}"


def _verdict(plan: Plan) -> str:
    errors, warnings = plan.count("error"), plan.count("warning")
    more = f"; {_counted(warnings, 'warning')}" if warnings else ""
    if errors:
        return f"not ready: {_counted(errors, 'thing')} to mend{more}"
    return f"ready{more}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _findings(findings: tuple[Finding, ...]) -> Iterator[str]:
    """Give findings, the worst first; of many of one kind the first few."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.about), []).append(finding)
    for (severity, about), alike in kinds.items():
        for finding in alike[:ALIKE_SHOWN]:
            yield f"{severity:<{WIDE}} {about}: {finding.text}"
        if (rest := len(alike) - ALIKE_SHOWN) > 0:
            yield f"{'':<{WIDE}} {about}: {rest} more like these (--json has all)"


def _figures(plan: Plan) -> Iterator[tuple[str, str]]:
    yield "slides", _slides(plan)
    for part in plan.parts[:1]:
        dealt = subsets_of(plan.rows, part.split)
        told = "; ".join(f"{subset} {_classes(c)}" for subset, c in dealt.items() if c)
        more = f" (the first of {len(plan.parts)})" if len(plan.parts) > 1 else ""
        yield "split", told + more
    took = plan.estimate
    if took.patches is not None:
        seen = len(plan.survey.sample) + len(plan.survey.kept)
        of = f"tissue found on {seen} of {len(plan.survey.looks)} slides"
        yield "patches", f"{_amount(took.patches)}; {of}"
    if took.bytes is not None and took.free is not None:
        there = f", {_bytes(took.there)} of it there" if took.there else ""
        free = f"{_bytes(took.free)} are free"
        yield "disk", f"{_bytes(took.bytes.likely)}{there}; {free}"
    if took.patches is not None:
        yield "time", _time(took)


def _slides(plan: Plan) -> str:
    found, usable = len(plan.survey.paths), len(plan.survey.looks)
    classes = Counter(row.label for row in plan.rows)
    cases = len({row.case_id for row in plan.rows})
    labelled = f"labelled {_classes(classes)} of {_counted(cases, 'case')}"
    told = f"{found} found, {usable} can be used, {labelled}"
    done = len(plan.survey.kept)
    return told + (f"; {done} in the study already" if done else "")


def _classes(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    if not total:
        return "0"
    return f"{total} ({', '.join(f'{n} {name}' for name, n in sorted(counts.items()))})"


def _amount(amount: Amount) -> str:
    if amount.low == amount.high:
        return f"{amount.likely:,.0f}"
    return f"{amount.likely:,.0f} ({amount.low:,.0f} to {amount.high:,.0f})"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _time(took: Estimate) -> str:
    whole, features = took.seconds, took.features
    if whole is None or features is None or took.patches_a_second is None:
        return "unknown: the encoder could not be measured"
    low, high = _clock(whole.low), _clock(whole.high)
    parts = [
        f"tissue {_clock(took.tissue or 0)}",
        f"features {_clock(features.likely)} ({took.patches_a_second:.0f} patches/s)",
    ]
    if took.training is not None:
        parts.append(f"training {_clock(took.training)} at most")
    told = _clock(whole.likely) + (f" ({low} to {high})" if low != high else "")
    return f"{told} on this machine: {', '.join(parts)}"


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
