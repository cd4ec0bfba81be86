"""The same JSON written otherwise: by another serialiser, with a byte order mark, or as an answer that nobody can
use."""
import json
import re

BOM = b"\xef\xbb\xbf"
_MEMBER = re.compile(r'"(\w+)":(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?=[,}])')


def restyled(body, styles, doubles, rng):
    """The bytes of a JSON answer in other styles; `doubles` are the names of its Double fields."""
    text = body.decode()
    if "shuffled" in styles:
        text = _shuffled(text, rng)
    if "fraction" in styles or "upper_exponent" in styles:
        text = _MEMBER.sub(lambda m: f'"{m[1]}":{_number(m[2], styles) if m[1] in doubles else m[2]}', text)
    if "ascii" in styles:
        text = "".join(c if c < "\x80" else json.dumps(c)[1:-1] for c in text)
    if "escaped_slash" in styles:
        text = text.replace("/", "\\/")
    return text.encode("utf-8", "surrogatepass")


def _number(digits, styles):
    """A Double as another serialiser writes it: with a fraction, as minus nothing, with a large E and two digits
    behind it."""
    if "fraction" in styles and re.fullmatch(r"-?\d+", digits):
        return "-0" if digits == "0" else digits + ".0"
    if "upper_exponent" in styles and "e" in digits:
        mantissa, _, exponent = digits.partition("e")
        return f"{mantissa}E{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"
    return digits


class _Digits(float):
    """A number that keeps its digits."""
    def __new__(cls, text):
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __repr__(self):
        return self.text


def _shuffled(text, rng):
    """Members of every object in another order."""
    def mixed(pairs):
        rng.shuffle(pairs)
        return _Pairs(pairs)
    try:
        return _dump(json.loads(text, object_pairs_hook=mixed, parse_float=_Digits))
    except ValueError:
        return text


class _Pairs(list):
    """Members of an object, perhaps one twice."""


def _dump(value):
    if isinstance(value, _Pairs):
        return "{" + ",".join(f"{json.dumps(name, ensure_ascii=False)}:{_dump(v)}" for name, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return repr(value) if isinstance(value, _Digits) else json.dumps(value, ensure_ascii=False)


def monster(kind):
    """A body that is far too large, deep or wide; it is JSON all the same."""
    if kind == "bytes":
        return b'{"d":{"results":[],"Padding":"' + b"x" * 68_000_000 + b'"}}'
    if kind == "nesting":
        return b'{"d":{"results":[],"Deep":' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
    if kind == "number":
        return b'{"d":{"results":[],"Number":1' + b"0" * 1_048_576 + b"}}"
    return b'{"d":{"results":[{' + b",".join(b'"Member%d":%d' % (i, i) for i in range(100_000)) + b"}]}}"
