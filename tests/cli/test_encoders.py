"""The command `encoders`."""

import json
import re

from coverslip.prepare.encoders.registry import encoder_names


def test_every_encoder_has_its_row_and_what_to_do(cli):
    """Length, scale, input, gate, licence and source of each can be read."""
    ran = cli("encoders")
    assert ran.code == 0
    for name in encoder_names():
        assert re.search(rf"^{re.escape(name)} ", ran.out, re.MULTILINE), name
    row = next(line for line in ran.out.splitlines() if line.startswith("prov-giga"))
    assert row.split()[1:6] == ["1536", "0.5", "256->224", "1135", "yes"]
    assert row.endswith("Apache-2.0")
    assert "from hf-hub:MahmoodLab/TITAN" in ran.out
    assert "patches: --target-mpp 0.5 --size 512" in ran.out
    assert all(len(line) < 170 for line in ran.out.splitlines())


def test_programs_get_the_same_as_json(cli):
    """One object; a card is whole, with its page and the patches to lay."""
    ran = cli("encoders", "--json")
    listed = {one["name"]: one for one in json.loads(ran.out)["encoders"]}
    assert set(encoder_names()) <= set(listed)
    card = listed["uni2-h"]["card"]
    assert (card["dim"], card["mpp"], card["patch"]) == (1536, [0.5], 256)
    assert card["gated"] is True
    assert card["page"] == "https://huggingface.co/MahmoodLab/UNI2-h"
    assert listed["fake"]["package"] == "coverslip"
