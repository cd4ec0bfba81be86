"""Values of the engine-free mode: casts with ANSI rules, and the text of results.

Python values: str, int, Decimal, float, bool, date, naive datetime (TIMESTAMP in UTC), list, dict (a struct), None.
"""

import json
import re
from datetime import date, datetime, timezone
from decimal import ROUND_HALF_UP, Context, Decimal

from .errors import SqlError

_INTEGERS = {"TINYINT": 7, "SMALLINT": 15, "INT": 31, "BIGINT": 63}
_SYNONYMS = {"INTEGER": "INT", "LONG": "BIGINT", "SHORT": "SMALLINT", "BYTE": "TINYINT", "REAL": "FLOAT", "NUMERIC": "DECIMAL", "DEC": "DECIMAL"}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
_DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2})(?:[T ].*)?)?)?\Z")
_WIDE = Context(prec=60, rounding=ROUND_HALF_UP)


def normal_type(text):
    """A SQL type in the form that results name it: DECIMAL(18,4), BIGINT, STRING."""
    text = re.sub(r"\s+", "", text).upper()
    base, _, rest = text.partition("(")
    base = _SYNONYMS.get(base, base)
    if base in ("VARCHAR", "CHAR"):
        return "STRING"
    if base == "DECIMAL":
        precision, _, scale = rest.rstrip(")").partition(",")
        return f"DECIMAL({precision or 10},{scale or 0})"
    return base


class BadValue(Exception):
    """A value that cannot be cast: error class, SQLSTATE, text."""

    def __init__(self, error_class, sql_state, text):
        super().__init__(text)
        self.error_class, self.sql_state, self.text = error_class, sql_state, text

    def as_error(self):
        return SqlError(self.error_class, self.sql_state, self.text)


def _malformed(value, target):
    return BadValue("CAST_INVALID_INPUT", "22018",
                    f"The value '{value}' of the type \"STRING\" cannot be cast to \"{target}\" because it is malformed. Correct the value "
                    "as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL instead.")


def _too_wide(value, precision, scale):
    return BadValue("NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION", "22003",
                    f"The {value} rounded half up from {value} cannot be represented as Decimal({precision}, {scale}). If necessary set "
                    "\"spark.sql.ansi.enabled\" to \"false\" to bypass this error, and return NULL instead.")


def caster(target):
    """The function that casts a value to the normal type `target`. It raises BadValue."""
    if target == "STRING":
        return lambda v: v if v is None or type(v) is str else to_text(v)
    if target in _INTEGERS:
        return _integer_caster(target)
    if target.startswith("DECIMAL("):
        return _decimal_caster(target)
    casts = {"BOOLEAN": _to_boolean, "DATE": _to_date, "DOUBLE": _to_double, "FLOAT": _to_double}
    if target in casts:
        cast = casts[target]
        return lambda v: None if v is None else cast(v, target)
    if target in ("TIMESTAMP", "TIMESTAMP_NTZ"):
        return lambda v: None if v is None else _to_timestamp(v, target)
    raise SqlError("PARSE_SYNTAX_ERROR", "42601", f"the engine-free mode does not know the type {target}")


def _integer_caster(target):
    bound = 1 << _INTEGERS[target]

    def cast(v):
        if v is None:
            return None
        if type(v) is str:
            try:
                if not v.strip().lstrip("+-").isdigit():
                    raise ValueError
                out = int(v)
            except ValueError:
                raise _malformed(v, target) from None
            if not -bound <= out < bound:
                raise _malformed(v, target)
            return out
        out = int(v)
        if not -bound <= out < bound:
            raise BadValue("CAST_OVERFLOW", "22003", f"The value {v} cannot be cast to \"{target}\" due to an overflow.")
        return out

    return cast


def _decimal_caster(target):
    precision, scale = map(int, target[8:-1].split(","))
    unit, bound = Decimal(1).scaleb(-scale), Decimal(10) ** (precision - scale)

    def cast(v):
        if v is None:
            return None
        if type(v) is str:
            text = v.strip()
            if not _NUMBER.match(text):
                raise _malformed(v, target)
            number = Decimal(text)
        else:
            number = Decimal(repr(v)) if type(v) is float else Decimal(v)
        if abs(number) >= bound * 10:
            raise _too_wide(v, precision, scale)
        out = number.quantize(unit, ROUND_HALF_UP, _WIDE)
        if abs(out) >= bound:
            raise _too_wide(v, precision, scale)
        return out

    return cast


def _to_boolean(v, target):
    if type(v) is str:
        text = v.strip().lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise _malformed(v, target)
    return bool(v)


def _to_double(v, target):
    if type(v) is str:
        text = v.strip()
        if not _NUMBER.match(text) and text.lower() not in ("nan", "infinity", "-infinity", "inf", "-inf"):
            raise _malformed(v, target)
        return float(text)
    return float(v)


def _to_date(v, target):
    if type(v) is datetime:
        return v.date()
    if type(v) is date:
        return v
    match = _DATE.match(v.strip()) if type(v) is str else None
    try:
        return date(int(match[1]), int(match[2] or 1), int(match[3] or 1))
    except (TypeError, ValueError):
        raise _malformed(v, target) from None


def _to_timestamp(v, target):
    if type(v) is datetime:
        return v
    if type(v) is date:
        return datetime(v.year, v.month, v.day)
    try:
        out = datetime.fromisoformat(v.strip())
    except (AttributeError, ValueError):
        raise _malformed(v, target) from None
    if out.tzinfo is not None:
        out = out.astimezone(timezone.utc) if target == "TIMESTAMP" else out
        out = out.replace(tzinfo=None)
    return out


def to_text(v):
    """The text of a value as CAST(v AS STRING) gives it."""
    if v is None or type(v) is str:
        return v
    if v is True or v is False:
        return "true" if v else "false"
    if type(v) is Decimal:
        return format(v, "f")
    if type(v) is datetime:
        text = v.isoformat(" ")
        return text.rstrip("0") if "." in text else text
    if type(v) is float:
        return _double_text(v)
    if isinstance(v, (dict, list)):
        return json.dumps(v, separators=(",", ":"), ensure_ascii=False, default=to_text)
    return str(v)


def _double_text(v):
    if v != v:
        return "NaN"
    if v in (float("inf"), float("-inf")):
        return "Infinity" if v > 0 else "-Infinity"
    if v == 0 or 1e-3 <= abs(v) < 1e7:
        return repr(v)
    mantissa, _, exponent = f"{Decimal(repr(v)):E}".partition("E")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def to_cell(v, kind):
    """The text of a value in a result column of type `kind`."""
    if v is None or type(v) is str:
        return v
    if type(v) is datetime:
        text = v.isoformat("T", "milliseconds" if v.microsecond % 1000 == 0 else "microseconds").rstrip("Z")
        return (text.rstrip("0") if v.microsecond % 1000 else text) + ("" if kind == "TIMESTAMP_NTZ" else "Z")
    return to_text(v)


_FIELD = re.compile(r"\s*(?:`((?:[^`]|``)*)`|(\w+))\s*:?\s*(\w+(?:\([^)]*\))?)\s*(,|$)")


def read_struct(schema):
    """The field names of 'STRUCT<a: STRING, ...>' or 'ARRAY<STRUCT<...>>' and whether it is an array. All fields must be STRING."""
    text = schema.strip()
    is_array = text.upper().startswith("ARRAY<")
    inner = text[6:-1].strip() if is_array else text
    if not inner.upper().startswith("STRUCT<") or not inner.endswith(">"):
        raise SqlError("PARSE_SYNTAX_ERROR", "42601", f"the engine-free mode does not know the schema {schema[:60]}")
    inner, at, fields = inner[7:-1], 0, {}
    while at < len(inner):
        match = _FIELD.match(inner, at)
        if match is None or match[3].upper() != "STRING":
            raise SqlError("PARSE_SYNTAX_ERROR", "42601", f"the engine-free mode reads STRING fields only, at: {inner[at:at + 40]}")
        fields[(match[1].replace("``", "`") if match[1] is not None else match[2])] = "STRING"
        at = match.end()
    return fields, is_array


_decoder = json.JSONDecoder(parse_float=Decimal)


def parse_json(text, is_array, failfast):
    """What from_json gives: a list of dicts or one dict, values strings or None; None for an empty text."""
    if text is None or not text.strip():
        return None
    try:
        found, _ = _decoder.raw_decode(text.lstrip())
        if isinstance(found, dict) and is_array:
            found = [found]
        rows = found if is_array else [found]
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ValueError
    except ValueError:
        if not failfast:
            return None
        raise SqlError("MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION", "22023",
                       f"Malformed records are detected in record parsing: [{text[:20]}...]. Parse Mode: FAILFAST. To process malformed "
                       "records as null result, try setting the option 'mode' as 'PERMISSIVE'.") from None
    for row in rows:
        for name, value in row.items():
            if type(value) is not str and value is not None:
                row[name] = to_text(float(value)) if type(value) is Decimal else to_text(value)
    return rows if is_array else rows[0]
