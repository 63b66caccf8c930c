"""What schemas of documents are made of: each check says in our words what it refuses.

Home Assistant puts another library in voluptuous' place: no text here hangs on the words of either, and no error on its
class.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from vegehub.exceptions import VegeHubValueError

from .payload import kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Check = Callable[[Any], Any]

_SHOWN_ERRORS = 3
_MAX_SHOWN = 64
_bare_key = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch


@cache
def library() -> Any:
    """Return voluptuous, or what stands in its place; the first one seen stays, since two do not know each other."""
    import voluptuous  # noqa: PLC0415 - not every program that uses this library reads files

    return voluptuous


def validated(schema: Check, document: object, source: str) -> Any:
    """Return what ``schema`` makes of a document; VegeHubValueError names ``source``, the place in it, and what is wrong."""
    try:
        return schema(document)
    except Exception as err:
        # By what it has, not by its class: see above.
        errors = getattr(err, "errors", [err])
        if not all(hasattr(error, "path") and hasattr(error, "error_message") for error in errors):
            raise
        texts = [
            ": ".join(filter(None, (place(error.path), str(error.error_message)))) for error in errors[:_SHOWN_ERRORS]
        ]
        if len(errors) > _SHOWN_ERRORS:
            texts.append(f"and {len(errors) - _SHOWN_ERRORS} more")
    raise VegeHubValueError(f"{source}: {'; '.join(texts)}")


def place(path: Iterable[object]) -> str:
    """Write a path as TOML and people do: ``hubs."Rose bed".inputs.1``."""
    parts = ""
    for key in path:
        text = str(key)
        if isinstance(key, int):
            parts += f"[{key}]"
        elif text.isprintable():
            parts += f"{'.' if parts else ''}{text if _bare_key(text) else quoted(text)}"
        else:
            # Whatever a file has as a key must not reach a terminal as it is.
            parts += f"[{quoted(text)}]"
    return parts


def quoted(value: object) -> str:
    """Return a name in quotes, cut, and without what a terminal could be fooled by."""
    return ascii(text) if not (text := str(value)[:_MAX_SHOWN]).isprintable() else f'"{text}"'


def near(name: object, known: Iterable[str]) -> str:
    """Return what is added to "unknown": the nearest known name, and else all of them."""
    names = list(known)
    folded = {each.casefold(): each for each in names}
    found = get_close_matches(str(name)[:_MAX_SHOWN].casefold(), folded, n=1)
    if found:
        return f"; did you mean {quoted(folded[found[0]])}?"
    return f"; known are {', '.join(map(quoted, names))}" if names else ""


def invalid(message: str, path: Iterable[object] = ()) -> Exception:
    """Return the error by which a check refuses a value; ``path`` leads on from where the value stands."""
    error: Exception = library().Invalid(message, path=list(path))
    return error


def object_of(optional: Mapping[str, Check], required: Mapping[str, tuple[Check, str]] | None = None) -> Check:
    """Return a schema for keys and values, these and no others; each required one comes with an example of it."""
    vol, required = library(), required or {}
    fields = {vol.Optional(key): check for key, check in optional.items()}
    fields |= {
        vol.Required(key, msg=f"missing, such as {key} = {hint}"): each for key, (each, hint) in required.items()
    }

    def only_known(section: dict[Any, Any]) -> dict[Any, Any]:
        names = (*required, *optional)
        unknown = [invalid(f"unknown key{near(key, names)}", [key]) for key in section if key not in names]
        if unknown:
            raise vol.MultipleInvalid(unknown)
        return section

    return all_of(is_object, only_known, fields)


def all_of(*checks: Any) -> Check:
    """Return a schema that hands a value on from one check to the next."""
    check: Check = library().All(*checks)
    return check


def checked(argument: Check) -> Check:
    """Have a check of an argument refuse a value of a file in the same words."""

    def check_argument(value: Any) -> Any:
        try:
            return argument(value)
        except VegeHubValueError as err:
            raise invalid(str(err)) from None

    return check_argument


def _of_type(wanted: type, words: str) -> Check:
    def check_type(value: Any) -> Any:
        if not isinstance(value, wanted):
            raise invalid(f"expected {words}, got {kind(value)}")
        return value

    return check_type


is_text = _of_type(str, "text")
is_bool = _of_type(bool, "true or false")
is_list = _of_type(list, "a list")
is_object = _of_type(dict, "keys and values")
