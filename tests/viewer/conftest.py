"""What the tests of the viewer share: a small study, served on a free port."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from shapely import box

from coverslip.prepare.annotations import write_asap_xml
from coverslip.viewer.view_options import ViewOptions
from coverslip.viewer.viewing import view
from viewer_client import LESION_BOX, Client, served


@pytest.fixture(scope="session")
def script(tmp_path_factory) -> Path:
    """Return something that passes for OpenSeadragon where it only has to be there."""
    path = tmp_path_factory.mktemp("script") / "openseadragon.min.js"
    path.write_text("// openseadragon, in name only\n")
    return path


@pytest.fixture(scope="session")
def annotations(tmp_path_factory) -> Path:
    """Return a folder with the lesion of one slide of the cohort."""
    folder = tmp_path_factory.mktemp("annotations")
    write_asap_xml(folder / "slide_01.xml", {"tumor": [box(*LESION_BOX)]})
    return folder


@pytest.fixture(scope="session")
def client(finished, annotations, script) -> Iterator[Client]:
    """Return a client of the finished study."""
    options = ViewOptions(port=0, device="cpu")
    with served(
        view(finished, options, annotations=annotations, openseadragon=script)
    ) as one:
        yield one
