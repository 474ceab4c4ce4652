"""Damaged files of every kind that the package reads: a few fixed cases each. `make soak` runs 2000."""

import pytest
from damage import FUZZ, damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from resources import limited
from targets import KINDS, target, tiny_models

CASES = {name: 5 if name.startswith("model.") else 10 for name in KINDS}  # 150; a network takes a second to load


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_refused_in_one_line_and_changes_nothing(name, models, tmp_path, monkeypatch):
    monkeypatch.setattr("deepsim_tf.recipes.datasets.SYNTHETIC_PAIRS", {"val": 1})
    found = target(name, tmp_path, models)
    assert name == "config.json" or found.judge(found.content) == "accepted"
    outcomes = []

    @settings(FUZZ, max_examples=CASES[name])
    @given(st.data())
    def fuzz(data):
        outcomes.append(found.judge(data.draw(damaged(name, found.content))))

    with limited():
        fuzz()
    assert len(outcomes) == CASES[name] and "refused" in outcomes
