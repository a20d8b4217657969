"""Export: what a run said of slides, in the files of QuPath, ASAP and slide readers.

out/SLIDE.geojson               tissue, hot regions and patches, for QuPath (`geojson`)
out/SLIDE.xml                   hot regions, for ASAP (`asap`)
out/SLIDE_attention.tif         heatmaps in colour, as slides (`tiff`)
out/SLIDE_probability_CLASS.tif
out/SLIDE_likelihood_map.tif    probabilities as numbers, over the slide in ASAP
                                (`likelihood`)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from coverslip import store
from coverslip.errors import DataError, MismatchError, OptionError, SlideError
from coverslip.pipeline.predict.scoring import open_run
from coverslip.pipeline.prepare.table import tell_failure
from coverslip.pipeline.show.export_options import FORMATS, ExportOptions
from coverslip.pipeline.show.exported import WRITERS, Exported


@dataclass(frozen=True)
class ExportResult:
    """What `export` made.

    Attributes:
        out: The folder.
        run: The run whose word it is.
        files: Files by slide.
        bare: Slides without patches, of which there is nothing to show.
        failed: Why others could not be exported.
    """

    out: Path
    run: str
    files: Mapping[str, tuple[Path, ...]]
    bare: tuple[str, ...]
    failed: Mapping[str, str]

    def facts(self) -> store.Facts:
        """Return it JSON-ready."""
        return {
            "out": str(self.out),
            "run": self.run,
            "files": {k: [str(p) for p in paths] for k, paths in self.files.items()},
            "bare": list(self.bare),
            "failed": dict(self.failed),
        }


def export(
    study: Path,
    run: str | None = None,
    out: Path | None = None,
    formats: Sequence[str] = FORMATS[:3],
    only: Sequence[str] = (),
    *,
    options: ExportOptions | None = None,
    quiet: bool = False,
) -> ExportResult:
    """Write what a run says of its slides for other programs.

    Args:
        study: The study folder.
        run: A run of it; the latest when none is named.
        out: Folder to write to; the study's `export/RUN` when not given.
        formats: Some of `FORMATS`.
        only: Slide ids to take; all of the run when empty.
        options: What is exported, and in which frame.
        quiet: Show no progress.

    Raises:
        OptionError: A format is not known.
        DataError: The study has no such run, or the run does not know a slide.
        OutputError: A file cannot be written.
    """
    wanted = tuple(dict.fromkeys(formats))
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise OptionError(
            f"format {', '.join(unknown) or 'none'}: choose from {', '.join(FORMATS)}"
        )
    options = options or ExportOptions()
    scores = open_run(study, run, options.device)
    if missing := sorted(set(only) - scores.rows.keys()):
        raise DataError(f"{', '.join(missing)}: run {scores.name} does not know them")
    out = out or study / "export" / scores.name
    files: dict[str, tuple[Path, ...]] = {}
    failed: dict[str, str] = {}
    bare: list[str] = []
    asked = list(only) or list(scores.rows)
    for slide_id in tqdm(asked, desc="export", unit="slide", disable=quiet):
        if scores.rows[slide_id].get("status") == "no tissue":
            bare.append(slide_id)
            continue
        try:
            exported = Exported(study, scores, slide_id, options)
            files[slide_id] = tuple(
                path for name in wanted for path in WRITERS[name](exported, out)
            )
        except (SlideError, DataError, MismatchError) as error:
            tell_failure(str(error))
            failed[slide_id] = str(error)
    return ExportResult(out, scores.name, files, tuple(bare), failed)
