"""docs/method.md leads from each part of the seed document to the code."""

import re
from importlib import import_module
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
SEED_NAMES = re.findall(
    r"\w+",
    """get_roi_bounds Extract_Patch_From_Slide_STRIDE getFolder_name read_tumor_mask
    Bottleneck_Baseline ResNet_Baseline resnet50_baseline extract_save_features
    Patch_dataset_SlideFolder_noLabel Classifier_1fc residual_block DimReduction
    Attention2 Attention_Gated AttentionLayer Attention_with_Classifier AverageMeter
    test_attention_DTFD_preFeat_MultipleMean print_log reOrganize_mDATA
    reOrganize_mDATA_test MaxMinS MaxS AFS total_instance numGroup""",
)


def seed_table() -> list[tuple[str, str, list[str]]]:
    """Return (seed, file, names) of each row of the table in method.md."""
    rows = re.findall(
        r"^\| (\d\.\d.*?) \| `([\w/]+\.py)` \| (.+) \|$",
        (DOCS / "method.md").read_text(),
        re.MULTILINE,
    )
    return [(part, file, re.findall(r"`(\w+)`", names)) for part, file, names in rows]


def test_the_seed_table_leads_to_code_that_is_there():
    """Each file exists and defines or imports the names of its row."""
    table = seed_table()
    assert len(table) > 40
    missing = []
    for part, file, names in table:
        module = import_module(
            "coverslip." + file.removesuffix(".py").replace("/", ".")
        )
        assert names, part
        missing += [f"{file}: {name}" for name in names if not hasattr(module, name)]
    assert missing == []


def test_the_seed_table_has_every_name_of_the_seed():
    """A reader with the seed document in hand finds each part."""
    text = (DOCS / "method.md").read_text()
    assert [name for name in SEED_NAMES if f"`{name}`" not in text] == []
