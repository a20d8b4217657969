"""Prepare a folder of slides: tissue, patches and features of each, into one study.

What is complete and made with the same parameters is kept, as in `laying`.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from coverslip import store
from coverslip.pipeline.prepare.calibrating import (
    calibrate,
    calibration_of,
    keep_calibration,
)
from coverslip.pipeline.prepare.encoding import (
    advices,
    identity_there,
    same_encoder_here,
)
from coverslip.pipeline.prepare.laying import lay_each, slides_asked, timed
from coverslip.pipeline.prepare.preparation import PREPARED, Preparation
from coverslip.pipeline.prepare.table import SlideTable
from coverslip.prepare.features import Progress, extract_features, features_made_with
from coverslip.prepare.patches import Patches

if TYPE_CHECKING:  # it loads torch
    from coverslip.prepare.encoders.encoder import Encoder


def prepare(slides: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Find tissue, lay patches and extract features of many slides.

    Args:
        slides: Slides, or folders of slides.
        preparation: How, and where to.

    Returns:
        The table of slides; a slide that failed says why.

    Raises:
        DataError: No slide was found.
        DuplicateSlideError: Two slides have the same id.
        EncoderError: The encoder cannot be loaded.
        ParametersDifferError: The study holds results of other options.
        OutputError: The study cannot be written.
    """
    paths = slides_asked(slides, preparation)
    for advice in advices(preparation):
        tqdm.write(f"note: {advice}", file=sys.stderr)
    encoder = None
    if preparation.engine.remote:
        identity_there(preparation, calibrated=False)
    else:
        encoder = preparation.options.features.load()
    table = SlideTable.open(preparation.study.slides_csv)
    good = lay_each(paths, preparation, table)
    _embed_all(preparation, encoder, good, table)
    facts = preparation.options.resolved().facts()
    store.write_json(preparation.features_folder / PREPARED, facts)
    table.write()
    return table


def _embed_all(
    preparation: Preparation,
    encoder: "Encoder | None",
    paths: list[Path],
    table: SlideTable,
) -> None:
    """Extract features slide by slide: the encoder is the bottleneck, not the slides.

    Without an encoder here, each machine of the engine loads its own.
    """
    features = preparation.options.features
    counts = {p: int(str(table.rows[store.slide_id_of(p)]["patches"])) for p in paths}
    if (kept := calibration_of(preparation)) is not None:
        keep_calibration(preparation, paths, kept)
        if encoder is not None:
            calibrate(encoder, kept)
    bar = tqdm(
        total=sum(counts.values()),
        desc=f"features ({features.encoder})",
        unit="patch",
        disable=preparation.quiet,
    )
    with bar:
        if encoder is None:
            identity = identity_there(preparation, calibrated=True)
            task = partial(embed_there, preparation, identity)
        else:
            task = partial(embed_slide, preparation, encoder, progress=bar.update)
        outcomes = preparation.engine.run(task, paths, features.device)
        for done, outcome in enumerate(outcomes, start=1):
            table.note_outcome(outcome)
            bar.update(counts[outcome.item] if encoder is None else 0)
            bar.set_postfix_str(f"{done}/{len(paths)} slides")


def embed_there(
    preparation: Preparation, identity: store.Facts, path: Path
) -> store.Facts:
    """Extract the features of one slide with the encoder of this process.

    Raises:
        EncoderError: This machine does not load the encoder that was promised.
    """
    return embed_slide(preparation, same_encoder_here(preparation, identity), path)


def embed_slide(
    preparation: Preparation,
    encoder: "Encoder",
    path: Path,
    progress: Progress | None = None,
) -> store.Facts:
    """Extract the features of one slide whose patches are laid, unless that is done.

    Returns:
        What the table of slides should know.
    """
    slide_id = store.slide_id_of(path)
    patches = Patches.load(preparation.patching.patches(slide_id))
    target = preparation.features_folder / f"{slide_id}.h5"
    status = {"status": "features"} if len(patches) else {}
    if features_kept(preparation, encoder, slide_id, patches):
        if progress is not None:
            progress(len(patches))
        return status
    facts: store.Facts = dict(status)
    with (
        timed(facts, "seconds_features", made=target),
        preparation.scales.open(path) as slide,
    ):
        features = extract_features(
            slide, patches, encoder, preparation.options.features, progress
        )
        features.save(target)
        facts |= features.idle
    return facts


def features_kept(
    preparation: Preparation, encoder: "Encoder", slide_id: str, patches: Patches
) -> bool:
    """Say whether the study holds the features of a slide's patches.

    Raises:
        ParametersDifferError: They were made by another encoder, or of other patches.
    """
    target = preparation.features_folder / f"{slide_id}.h5"
    if not target.exists():
        return False
    asked = features_made_with(
        patches,
        encoder.identity(),
        preparation.options.patches.facts(),
        preparation.options.features.reduce,
    )
    store.check_same(target, store.read_facts(target), asked)
    return True
