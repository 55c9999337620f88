"""The shipped model and the tier that votes with it: read-only, loaded once."""

import pytest

from airouter.classify.learned.text_model import Model, load_model
from airouter.classify.tiers.learned import LearnedTier
from airouter.domain.clock import Clock
from airouter.settings.schema import CascadeSettings


@pytest.fixture(scope="session")
def model() -> Model:
    return load_model(CascadeSettings().learned.model)


@pytest.fixture(scope="session")
def learned(model: Model) -> LearnedTier:
    return LearnedTier(model, Clock())
