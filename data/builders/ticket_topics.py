"""The form in which ticket texts are kept: subjects, how it starts, details, and what is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Sentences about one kind of trouble."""

    queue: str
    needs: str
    """Which order it is about: any, delivered, cancelled, returned, membership or none."""
    subjects: tuple[str, ...]
    openings: tuple[str, ...]
    details: tuple[str, ...]
    asks: tuple[str, ...]
    names: tuple[str, ...] = ()
    """The topic of each opening, where one text bundles several."""
