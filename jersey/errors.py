"""The one exception that means "the user can mend this"."""


class UserError(ValueError):
    """A mistake in flags, files or data: one sentence that says what, where and what to do.

    `launch.py` and the `python -m` commands print it without a traceback and exit with code 2. Anything
    else that is raised is a defect of jersey and keeps its traceback.
    """
