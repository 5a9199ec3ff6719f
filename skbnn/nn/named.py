"""Names of built-in choices: one look-up for every axis of a technique."""

__all__ = ["named"]


def named(role, known, choice):
    """Return what a built-in name stands for; a choice of the user's own is returned as it is.

    Parameters
    ----------
    role : str
        What is chosen, for the error.
    known : dict
        Built-in choices by name.
    choice : str or callable
        A name, or a choice of the user's own.

    Returns
    -------
    choice : object

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known ones.
    TypeError
        If the choice is neither a name nor callable.
    """
    if callable(choice):
        return choice
    if not isinstance(choice, str):
        raise TypeError(f"A {role} is a name, a class or a function, got {choice!r}.")
    if choice not in known:
        raise ValueError(f"Unknown {role} {choice!r}; known are {', '.join(map(repr, known))}.")
    return known[choice]
