import json
import re

import pytest

from resnet_lib.lessons import lock, locked


def test_a_prediction_is_kept_and_does_not_change(tmp_path):
    file = tmp_path / "predictions.json"
    with pytest.raises(ValueError, match="no prediction yet: type yours"):
        locked("02.1", file)
    found = lock("02.1", "  half of it ", file)
    assert found == locked("02.1", file) and found.prediction == "half of it"
    assert re.fullmatch(r"locked at \d{4}-\d\d-\d\d \d\d:\d\d UTC: half of it", repr(found))
    assert lock("02.1", "half of it", file) == found
    with pytest.raises(ValueError, match="yours is locked at .*: half of it; it cannot be changed any more"):
        lock("02.1", "all of it", file)
    lock("02.2", "änders", file)
    assert {key: kept["prediction"] for key, kept in json.loads(file.read_text(encoding="utf-8")).items()} == {
        "02.1": "half of it",
        "02.2": "änders",
    }


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_prediction_is_refused_and_nothing_is_kept(tmp_path, empty):
    with pytest.raises(ValueError, match="prediction: type yours between the quotes"):
        lock("02.1", empty, tmp_path / "predictions.json")
    with pytest.raises(TypeError, match="prediction must be a text, got 3"):
        lock("02.1", 3, tmp_path / "predictions.json")
    assert [*tmp_path.iterdir()] == []
