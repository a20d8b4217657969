"""What a report shows, as plain facts; whoever gathers them makes no HTML."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        caption: What it says.
        columns: Its headings.
        rows: Cells, as many a row as there are headings.
        numeric: Which columns hold numbers.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Plot:
    """A figure with its numbers.

    Attributes:
        key: Its name, of its files too.
        title: Its heading.
        caption: What it shows and how it was made.
        svg: The drawing, ready to stand in a page; empty where there is none.
        tables: Its numbers.
        missing: Why there is no drawing.
        broad: It needs the whole width.
    """

    key: str
    title: str
    caption: str
    svg: str = ""
    tables: tuple[Table, ...] = ()
    missing: str = ""
    broad: bool = False


@dataclass(frozen=True)
class Headline:
    """One figure in large type: `label`, `value`, and a line below."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class PatchPicture:
    """One patch: its picture, where it lies, and its scores.

    Attributes:
        name: What it is called on the thumbnail.
        picture: Data URI.
        px_box: Left, top and side on the thumbnail.
        l0_xy: Its level-0 corner.
        attention_rank: Share of the other patches with less attention.
        probability: Of the class that is shown.
    """

    name: str
    picture: str
    px_box: tuple[float, float, float]
    l0_xy: tuple[int, int]
    attention_rank: float
    probability: float


@dataclass(frozen=True)
class SlidePictures:
    """The pictures of one slide; all layers cover the same extent.

    Attributes:
        px_size: (width, height) of the thumbnail.
        thumbnail: Data URI.
        outlines: The tissue as the path of an SVG, in pixels of the thumbnail.
        attention: Data URI of the layer of attention, by rank.
        probability: Data URI of the layer of probability.
        shown_class: The class that patch probabilities are of.
        bar: Length of the scale bar in pixels, and its label.
        top: The patches with the highest attention, the highest first.
        bottom: Those with the lowest, the lowest first.
    """

    px_size: tuple[int, int]
    thumbnail: str
    outlines: str
    attention: str
    probability: str
    shown_class: str
    bar: tuple[float, str]
    top: tuple[PatchPicture, ...]
    bottom: tuple[PatchPicture, ...]


@dataclass(frozen=True)
class SlideEvidence:
    """Everything about one slide.

    Attributes:
        slide_id: The slide.
        case_id: Its case.
        label: What it is; empty where nobody said.
        decided: What the run says it is.
        verdict: `right`, `wrong`, or empty without a label.
        probability: Of the last class (of two) or the decided one (of more), as text.
        calibrated: The same with the temperature.
        threshold: What it was held against.
        refer: `yes`, `no`, or empty where the model has no limits.
        patches: How many.
        facts: More of it by name.
        audit: The scale asked, read and achieved, by name.
        pictures: None where there are none.
        missing: Why there are none.
        shown: The slide has a section of its own.
    """

    slide_id: str
    case_id: str = ""
    label: str = ""
    decided: str = ""
    verdict: str = ""
    probability: str = ""
    calibrated: str = ""
    threshold: str = ""
    refer: str = ""
    patches: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    audit: Mapping[str, str] = field(default_factory=dict)
    pictures: SlidePictures | None = None
    missing: str = ""
    shown: bool = False


@dataclass(frozen=True)
class ReportFacts:
    """A report.

    Attributes:
        study: Name of the study.
        run: Name of the run.
        model: What was trained, in a line.
        score: What the probabilities shown are of.
        headlines: The figures that matter most.
        notes: What should be known before anything is believed.
        cohort: Tables of slides, labels and splits.
        judged: Figures on how good the run is.
        comparison: Runs beside each other.
        slides: The slides it was judged on.
        slides_caption: What these slides are.
        slides_note: Which of them have pictures, and why these.
        provenance: Tables of versions, parameters and the like.
        commands: What made the run, and this report.
    """

    study: str
    run: str
    model: str
    score: str
    headlines: tuple[Headline, ...] = ()
    notes: tuple[str, ...] = ()
    cohort: tuple[Table, ...] = ()
    judged: tuple[Plot, ...] = ()
    comparison: tuple[Plot, ...] = ()
    slides: tuple[SlideEvidence, ...] = ()
    slides_caption: str = "Slides kept apart."
    slides_note: str = ""
    provenance: tuple[Table, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()
