"""``UserError``, the one exception that users see, notes, and one-line messages of exceptions."""

import sys
import warnings


class UserError(Exception):
    """A mistake that the user can correct.

    Its message is one sentence: the value, the expected value, and the remedy. Scripts and commands
    print the sentence without a traceback and exit with status 1.
    """


def first_line(error: BaseException) -> str:
    """First line of an exception's message; the name of its class if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class Note(UserWarning):
    """A sentence about how the input was understood; the result is right if the user agrees."""


def say(sentence: str) -> None:
    """Warn with a ``Note``; commands print it as a line of standard error."""
    warnings.warn(sentence, Note, stacklevel=2)


def print_notes() -> None:
    """From now on, print every note as one line ``note: ...`` of standard error."""
    usual = warnings.showwarning

    def show(message, category, *place, **options) -> None:
        if issubclass(category, Note):
            print(f"note: {message}", file=sys.stderr)
        else:
            usual(message, category, *place, **options)

    warnings.simplefilter("always", Note)
    warnings.showwarning = show
