"""Predictions that are locked before an answer is shown. The student versions of the notebooks (`make course`) call it.

What was predicted stands in predictions.json beside the notebook, so that a class can compare what it thought.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from .checks import file_path, instance_of
from .records import replacing

FILE = "predictions.json"


class Locked(NamedTuple):
    """A prediction, and when it was made."""

    question: str
    prediction: str
    date: str

    def __repr__(self) -> str:
        return f"locked at {self.date}: {self.prediction}"


def lock(question: str, prediction: str, file: str | os.PathLike = FILE) -> Locked:
    """Keeps a prediction for good: Locked. Said again in the same words it changes nothing.

    Raises ValueError for an empty prediction, and for another one where there is one already; TypeError for what is no text.
    """
    instance_of("question", question, str, "a text")
    prediction = instance_of("prediction", prediction, str, "a text").strip()
    if not prediction:
        raise ValueError("prediction: type yours between the quotes, then run this cell again; a guess will do")
    kept = _read(file)
    if question in kept and kept[question]["prediction"] != prediction:
        raise ValueError(f"prediction: yours is {locked(question, file)!r}; it cannot be changed any more")
    if question not in kept:
        kept[question] = {"prediction": prediction, "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
        with replacing(Path(file)) as new:
            new.write(json.dumps(kept, indent=1, ensure_ascii=False).encode())
    return locked(question, file)


def locked(question: str, file: str | os.PathLike = FILE) -> Locked:
    """The prediction that was locked: Locked. Raises ValueError while there is none."""
    kept = _read(file)
    if question not in kept:
        raise ValueError("no prediction yet: type yours between the quotes of the cell above, and run it first")
    return Locked(question, **kept[question])


def _read(file: str | os.PathLike) -> dict[str, dict[str, str]]:
    path = file_path("file", file)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
