"""The one exception that users see, and what other exceptions say in one line."""


class UserError(Exception):
    """A mistake that the user can mend: one sentence with the value, the expectation, the remedy.

    Scripts and commands print the sentence and leave with status 1; they never show a traceback
    for it.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, without its details; its kind if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
