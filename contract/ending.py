"""How a process of ours ends: what a person can mend is a sentence and an exit code, a bug shows where it came from."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from contract.errors import AnjuError

EXIT_ENDED: Final = 1
"""Exit code of a process that ran and was ended by what it could not live with."""
EXIT_MISTAKE: Final = 2
"""Exit code for what a person must mend: a file, an option, an enrolment; nothing was started."""


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Prints our errors on stderr and raises SystemExit: EXIT_MISTAKE, or EXIT_ENDED where they come from tasks.

    Anything else that is raised, also beside ours, goes on as it is.
    """
    try:
        yield
    except AnjuError as e:
        print(e, file=sys.stderr)  # noqa: T201  # to the person, not to the log
        sys.exit(EXIT_MISTAKE)
    except BaseExceptionGroup as group:  # of tasks, and maybe of groups of tasks
        ours, others = group.split(AnjuError)
        if ours is None or others is not None:
            raise
        for problem in _each(ours):
            print(problem, file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_ENDED)


def _each(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _each(part)
    else:
        yield error
