"""What can be asked of an exporter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ask:
    """What to export, where there is a choice.

    Attributes:
        samples: The table of raw samples in place of that of values.
        direction: Values of which "bigger" or "smaller" is better; "" for both, in two files.
    """

    samples: bool = False
    direction: str = ""
