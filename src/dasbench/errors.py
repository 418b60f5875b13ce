"""The one exception that users see."""


class UserError(Exception):
    """A mistake that the user can mend: one sentence with the value, the expectation, the remedy.

    Scripts and commands print the sentence and leave with status 1; they never show a traceback
    for it.
    """
