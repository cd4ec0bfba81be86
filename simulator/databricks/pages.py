"""Pages of REST lists: a page may be empty and still name a next one (D40)."""

import base64

from .errors import invalid_parameter


def read_token(text):
    """(key after which the page begins, whether an empty page came before it)."""
    if not text:
        return "", False
    try:
        mark, _, key = base64.urlsafe_b64decode(text).decode().partition(":")
        if mark not in ("n", "e"):
            raise ValueError
    except ValueError:
        raise invalid_parameter("page_token is not one of this service.") from None
    return key, mark == "e"


def _token(mark, key):
    return base64.urlsafe_b64encode(f"{mark}:{key}".encode()).decode()


def page(workspace, entries, size, token, number):
    """(entries of the page, token of the next one or None). `entries` are (key, object), sorted by key; `number` is
    the request's."""
    after, empty_before = read_token(token)
    if not empty_before and workspace.weather.drawn("empty_pages", number, workspace.settings.empty_pages):
        workspace.weather.met("empty_pages")
        return [], _token("e", after)
    left = [(key, entry) for key, entry in entries if key > after]
    return [entry for _, entry in left[:size]], _token("n", left[size - 1][0]) if len(left) > size else None
