"""The few errors everything shares. Each is a sentence that tells the person what to do next."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """One mistake in a file a person wrote: where, what, and how to mend it. Lines count from 1; 0 is the file."""

    file: str
    line: int
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.problem}" + (f"\n    {self.hint}" if self.hint else "")


class AnjuError(Exception):
    """Any error of ours that a person can read."""


class ConfigError(AnjuError):
    """A file cannot be used. Holds every mistake in it, so that all can be mended at once."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = sorted(mistakes, key=lambda m: (m.file, m.line))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class Retryable(AnjuError):  # noqa: N818  # the field's word
    """It did not work now and may work later. `after_s` is how long to wait at least, where the other side said."""

    def __init__(self, problem: str, after_s: float | None = None) -> None:
        super().__init__(problem)
        self.after_s = after_s


class Permanent(AnjuError):  # noqa: N818  # the field's word
    """It will never work as it is; trying again is no use."""


class BlockError(Permanent):
    """Bytes that are not a sound block: which check failed, in words."""
