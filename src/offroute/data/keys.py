"""The API key and where it may be sent."""

from pathlib import Path
from urllib.parse import urlsplit

from offroute.exceptions import InvalidKey, UsageError

KEY_VARIABLE = "OPENROUTER_API_KEY"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def read_key(variable: str | None, path: Path | None) -> str:
    """Return the API key from a file, or else from the value of an environment variable.

    Parameters
    ----------
    variable : str or None
        Value of ``OPENROUTER_API_KEY``.
    path : pathlib.Path or None
        File whose content is the key.

    Returns
    -------
    str
        The key.

    Raises
    ------
    InvalidKey
        If there is none, the file cannot be read, or the text cannot be a key. The message never
        holds it.

    Examples
    --------
    >>> read_key(" sk-or-v1-example ", None)
    'sk-or-v1-example'
    """
    name = "API key" if path is None else f"API key file '{path}'"
    try:
        text = (variable or "") if path is None else path.read_text(encoding="utf-8")
        problem = "nothing" if not text.strip() else ""
    except (OSError, UnicodeDecodeError) as error:
        text, problem = "", type(error).__name__
    key = text.strip()
    if not problem and not (key.isascii() and key.isprintable() and " " not in key):
        problem = "text with a blank, a line break or a sign that no key has"
    if problem:
        raise InvalidKey(
            name,
            got=problem,
            rule="OpenRouter's Data API needs a key, one line of ASCII",
            next_step=f"Set {KEY_VARIABLE}, or name a file that holds it with --key-file.",
        )
    return key


def check_address(base_url: str, *, name: str) -> str:
    """Return a base address without its final slash if a key may be sent there.

    Parameters
    ----------
    base_url : str
        The address.
    name : str
        What to call it in a message.

    Raises
    ------
    UsageError
        If it is neither ``https`` nor ``http`` on this machine.

    Examples
    --------
    >>> check_address("https://openrouter.ai/api/v1/", name="--openrouter-url")
    'https://openrouter.ai/api/v1'
    """
    parts = urlsplit(base_url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or parts.username is not None:
        raise UsageError(
            name,
            got=f"scheme '{parts.scheme}', host '{parts.hostname}'",
            rule="must be https (http on this machine only), without a user name",
            next_step="Write it as https://openrouter.ai/api/v1.",
        )
    return base_url.rstrip("/")
