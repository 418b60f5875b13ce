"""``UserError``, the one exception that users see, and one-line messages of other exceptions."""


class UserError(Exception):
    """A mistake that the user can correct.

    Its message is one sentence: the value, the expected value, and the remedy. Scripts and commands
    print the sentence without a traceback and exit with status 1.
    """


def first_line(error: BaseException) -> str:
    """First line of an exception's message; the name of its class if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]
