"""What tests of encoders share."""

import pytest


@pytest.fixture(scope="session")
def timm():
    """Return timm, or skip."""
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another
        pytest.skip(f"timm is not here ({error}): pip install 'coverslip[hub]'")
    return timm
