"""What a study says while it goes on."""


def say(verbose, text):
    """Print a line at once, where anything is to be printed."""
    if verbose:
        print(text, flush=True)
