"""Features from folders of patch images, as the seed makes them: a folder a slide."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from coverslip import store
from coverslip.errors import DataError, DuplicateSlideError, OptionError
from coverslip.pipeline.engine import LocalEngine
from coverslip.pipeline.prepare.preparation import Preparation
from coverslip.pipeline.prepare.table import SlideTable
from coverslip.prepare.export import IMAGE_SUFFIXES, read_patch_folder
from coverslip.prepare.features import extract_folder


def prepare_folders(folders: Sequence[Path], preparation: Preparation) -> SlideTable:
    """Extract the features of folders of patches into `imported/features_<encoder>`.

    Args:
        folders: Folders of images, or folders that hold such folders.
        preparation: Encoder and study.

    Returns:
        The table of slides; a folder that failed says why.

    Raises:
        DataError: There is no folder of images.
        EncoderError: The encoder cannot be loaded.
        OutputError: The study cannot be written.
    """
    found = [one for folder in folders for one in _with_images(Path(folder))]
    if not found:
        named = ", ".join(map(str, folders))
        raise DataError(f"{named}: no folder with patch images: check the path")
    options = preparation.options.features
    if options.precision == "int8":
        raise OptionError(
            "precision=int8: is calibrated on slides, and these are patch images: use "
            "--precision fp32 or bf16"
        )
    encoder = options.load()
    target = preparation.imported(options.encoder)
    folder_of: dict[str, Path] = {}

    def embed(folder: Path) -> store.Facts:
        slide_id = read_patch_folder(folder).slide_id
        if (other := folder_of.setdefault(slide_id, folder)) != folder:
            raise DuplicateSlideError(
                f"{folder}: has the same slide id as {other}: rename one of them"
            )
        path = target / f"{slide_id}.h5"
        if path.exists():
            asked = {"encoder": encoder.identity(), "folder": folder.name}
            store.check_same(path, store.read_facts(path), asked)
            return {"slide_id": slide_id, "status": "features"}
        features = extract_folder(folder, encoder, options)
        features.facts["folder"] = folder.name
        features.save(path)
        return {
            "slide_id": slide_id,
            "patches": len(features),
            "status": "features",
        }

    table = SlideTable.open(preparation.study.slides_csv)
    bar = tqdm(
        total=len(found), desc="folders", unit="slide", disable=preparation.quiet
    )
    with bar:
        for outcome in LocalEngine().run(embed, found):
            path, facts = outcome.item, outcome.result
            if facts is None:
                error = outcome.error or ""
                table.note_failure(path.name, path, error, outcome.trace)
            else:
                where = {"path": str(path.absolute())}
                table.note(str(facts["slide_id"]), {**where, **facts})
            bar.update()
    table.write()
    return table


def _with_images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return [folder]  # told of when its turn comes, so that the others go on
    children = sorted(folder.iterdir())
    if any(child.suffix.lower() in IMAGE_SUFFIXES for child in children):
        return [folder]
    return [one for child in children if child.is_dir() for one in _with_images(child)]
