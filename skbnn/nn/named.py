"""Names of built-in choices: one look-up for every axis of a technique."""

__all__ = ["named"]


def named(role, known, choice):
    """Return what a built-in name stands for; anything but a string is returned as it is.

    Parameters
    ----------
    role : str
        What is chosen, for the error.
    known : dict
        Built-in choices by name.
    choice : str or object
        A name, or a choice of the user's own.

    Returns
    -------
    choice : object

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known ones.
    """
    if not isinstance(choice, str):
        return choice
    if choice not in known:
        raise ValueError(f"Unknown {role} {choice!r}; known are {', '.join(map(repr, known))}.")
    return known[choice]
