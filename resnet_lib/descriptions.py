"""An Architecture as plain numbers and texts, to stand in a file, and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .architectures import Architecture
from .blocks import Block, Root


def described(architecture: Architecture) -> dict[str, Any] | None:
    """The fields of an Architecture, to be written as JSON; None where a unit is a function of one's own, which is no text."""
    if not all(isinstance(block.unit_fn, str) for block in architecture.blocks):
        return None
    return asdict(architecture)


def architecture_of(fields: dict[str, Any]) -> Architecture:
    """The Architecture of what `described` gave, also after JSON. Raises ValueError or TypeError where it is none."""
    blocks = tuple(Block(scope, kind, [tuple(unit) for unit in units]) for scope, kind, units in fields["blocks"])
    root = fields["root"] and Root(*fields["root"])
    return Architecture(**{**fields, "blocks": blocks, "root": root})
