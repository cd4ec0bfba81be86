"""Values of the engine-free mode: casts with ANSI rules, and the text of results.

Python values: str, int, Decimal, float, bool, date, Instant (TIMESTAMP, naive in UTC), datetime (TIMESTAMP_NTZ),
list, dict (a struct),
None. Dates and times outside the years 1 to 9999 are Far.
"""

import contextlib
import functools
import json
import re
import struct
import zoneinfo
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal

from .refusals import refuse
from .result import timestamp_cell

_INTEGERS = {"TINYINT": 7, "SMALLINT": 15, "INT": 31, "BIGINT": 63}
_SYNONYMS = {
    "INTEGER": "INT",
    "LONG": "BIGINT",
    "SHORT": "SMALLINT",
    "BYTE": "TINYINT",
    "REAL": "FLOAT",
    "NUMERIC": "DECIMAL",
    "DEC": "DECIMAL",
}
_BLANKS = "".join(map(chr, range(33))) + "\x7f"  # what the engine trims before it reads a value
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_WHOLE = re.compile(r"[+-]?[0-9]+\Z")
_CUT = re.compile(r"([+-]?[0-9]+)(\.[0-9]*)?\Z|[+-]?()(\.[0-9]+)\Z")
_DOUBLE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?\Z")
_HEXADECIMAL = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[dDfF]?\Z")
_SPECIAL = {
    "nan": "nan",
    "inf": "inf",
    "+inf": "inf",
    "-inf": "-inf",
    "infinity": "inf",
    "+infinity": "inf",
    "-infinity": "-inf",
}
_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}
_DATE = re.compile(r"([+-]?[0-9]{4,7})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[T ](.*))?)?)?\Z", re.S)
_TIME = re.compile(r"([0-9]{1,2})(?::([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]*))?)?)?(.*)\Z", re.S)
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])([0-9]{1,2})(?::?([0-9]{1,2})(?::?([0-9]{2}))?)?\Z")
_DAYS = {"epoch": None, "now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}
_WIDE = Context(prec=80, rounding=ROUND_HALF_UP)


class Session:
    """What the warehouse is set to while a statement runs; statements of this mode run one at a time."""

    def __init__(self):
        self.zone, self.ansi = zoneinfo.ZoneInfo("UTC"), True
        self.met = lambda form: None  # tells that a form of weather.py was met

    def set(self, time_zone, ansi):
        if str(self.zone) != time_zone:
            self.zone = zoneinfo.ZoneInfo(time_zone)
        self.ansi = ansi


session = Session()


class Instant(datetime):
    """A TIMESTAMP: naive, in UTC."""


class Float32(float):
    """A FLOAT."""


@functools.total_ordering
class Far:
    """A date or time `cycle` times 400 years away from `value`, whose year is between 2000 and 2399."""

    def __init__(self, cycle, value):
        self.cycle, self.value = cycle, value

    @staticmethod
    def _key(other):
        if isinstance(other, Far):
            return other.cycle, other.value
        cycle, year = divmod(other.year - 2000, 400)
        return cycle, other.replace(year=2000 + year)

    def __eq__(self, other):
        return isinstance(other, (Far, date)) and self._key(self) == self._key(other)

    def __lt__(self, other):
        return self._key(self) < self._key(other)

    def __hash__(self):
        return hash((self.cycle, self.value))

    def text(self, of):
        """The text that `of` gives for the value, with the right year."""
        year, text = self.value.year + 400 * self.cycle, of(self.value)
        return ("+" if year > 9999 else "-" if year < 0 else "") + f"{abs(year):04d}" + text[4:]


def spread(year, make):
    """make(year) for a year that Python has, else Far."""
    if 1 <= year <= 9999:
        return make(year)
    cycle, rest = divmod(year - 2000, 400)
    return Far(cycle, make(2000 + rest))


def instant(local, zone=None):
    """The Instant of a wall clock time in `zone`, by default the warehouse's."""
    moment = local.replace(tzinfo=zone or session.zone)
    with contextlib.suppress(OverflowError):
        moment = moment.astimezone(UTC)
    return Instant(*moment.timetuple()[:6], moment.microsecond)


def wall_clock(value):
    """The wall clock of an Instant in the warehouse's zone."""
    try:
        return (
            datetime(*value.timetuple()[:6], value.microsecond, UTC)
            .astimezone(session.zone)
            .replace(tzinfo=None)
        )
    except OverflowError:
        return datetime(*value.timetuple()[:6], value.microsecond)


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
    """A value that cannot be cast: error class, text."""

    def __init__(self, error_class, text):
        super().__init__(text)
        self.error_class, self.text = error_class, text

    def as_error(self):
        return refuse(self.error_class, self.text)


def _malformed(value, target):
    return BadValue(
        "CAST_INVALID_INPUT",
        f'The value \'{value}\' of the type "STRING" cannot be cast to "{target}" because it is '
        "malformed. Correct the value as per the syntax, or change its target type. Use `try_cast` to tolerate "
        "malformed input "
        "and return NULL instead.",
    )


def _too_wide(value, precision, scale):
    return BadValue(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        f"The {value} rounded half up from {value} cannot be represented as Decimal({precision}, {scale}). If "
        f"necessary set "
        '"spark.sql.ansi.enabled" to "false" to bypass this error, and return NULL instead.',
    )


def caster(target):
    """The function that casts a value to the normal type `target`. It raises BadValue, also where ANSI mode is off."""
    if target == "STRING":
        return lambda v: v if v is None or type(v) is str else to_text(v)
    if target in _INTEGERS:
        return _integer_caster(target)
    if target.startswith("DECIMAL("):
        return _decimal_caster(target)
    casts = {
        "BOOLEAN": _to_boolean,
        "DATE": _to_date,
        "DOUBLE": _to_double,
        "FLOAT": _to_double,
        "VOID": lambda v, target: None,
    }
    if target in casts:
        cast = casts[target]
        return lambda v: None if v is None else cast(v, target)
    if target in ("TIMESTAMP", "TIMESTAMP_NTZ"):
        return lambda v: None if v is None else _to_timestamp(v, target)
    raise refuse("UNSUPPORTED_DATATYPE", f"Unsupported data type \"{target}\".")


def _integer_caster(target):
    bound = 1 << _INTEGERS[target]

    def cast(v):
        if v is None:
            return None
        if type(v) is str:
            text = v.strip(_BLANKS)
            found = _WHOLE.match(text) if session.ansi else _CUT.match(text)
            if found is None:
                raise _malformed(v, target)
            out = int(text if session.ansi else found[1] or "0")
            if not -bound <= out < bound:
                raise _malformed(v, target)
            return out
        if isinstance(v, Instant):
            v = int((v - Instant(1970, 1, 1)).total_seconds() // 1)
        out = int(v)
        if not -bound <= out < bound:
            if not session.ansi:
                return (out + bound) % (2 * bound) - bound
            raise BadValue("CAST_OVERFLOW", f"The value {v} cannot be cast to \"{target}\" due to an overflow.")
        return out

    return cast


def _decimal_caster(target):
    precision, scale = map(int, target[8:-1].split(","))
    if precision > 38:
        raise refuse(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION", f"Decimal precision {precision} exceeds max precision 38."
        )
    if scale > precision:
        raise refuse("", f"Decimal scale ({scale}) cannot be greater than precision ({precision}).")
    unit, bound = Decimal(1).scaleb(-scale), Decimal(10) ** (precision - scale)

    def cast(v):
        if v is None:
            return None
        if type(v) is str:
            text = v.strip(_BLANKS)
            if not _NUMBER.match(text):
                raise _malformed(v, target)
            number = Decimal(text)
            if number and number.adjusted() >= 38:
                raise BadValue(
                    "NUMERIC_OUT_OF_SUPPORTED_RANGE",
                    f"The value {v} cannot be interpreted as a numeric since it has more than 38 digits.",
                )
        else:
            number = Decimal(repr(float(v))) if isinstance(v, float) else Decimal(v)
        if abs(number) >= bound * 10:
            raise _too_wide(v, precision, scale)
        out = number.quantize(unit, ROUND_HALF_UP, _WIDE)
        if abs(out) >= bound:
            raise _too_wide(v, precision, scale)
        return out if out else abs(out)

    return cast


def _to_boolean(v, target):
    if type(v) is str:
        text = v.strip(_BLANKS).lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise _malformed(v, target)
    return bool(v)


def _to_double(v, target):
    if type(v) is str:
        text = v.strip(_BLANKS)
        if text.lower() in _SPECIAL:
            out = float(_SPECIAL[text.lower()])
        elif _DOUBLE.match(text):
            out = float(text.rstrip("dDfF"))
        elif _HEXADECIMAL.match(text):
            mantissa, _, exponent = text.lower().partition("p")
            out = float.fromhex(f"{mantissa}p{exponent.rstrip('df')}")
        else:
            raise _malformed(v, target)
    else:
        out = float(v)
    if target == "DOUBLE":
        return float(out)
    try:
        return Float32(struct.unpack("f", struct.pack("f", out))[0])
    except OverflowError:
        return Float32("inf" if out > 0 else "-inf")


def special(text, target):
    """The value of a special word such as `today`, which the engine takes in a constant only; None for another text."""
    word = text.strip(_BLANKS).lower()
    if word not in _DAYS or target not in ("DATE", "TIMESTAMP", "TIMESTAMP_NTZ"):
        return None
    now = datetime.now(session.zone).replace(tzinfo=None)
    if word == "epoch":
        moment = datetime(1970, 1, 1)
        return moment.date() if target == "DATE" else Instant(1970, 1, 1) if target == "TIMESTAMP" else moment
    moment = now if word == "now" else datetime(now.year, now.month, now.day) + timedelta(days=_DAYS[word])
    return moment.date() if target == "DATE" else instant(moment) if target == "TIMESTAMP" else moment


def _to_date(v, target):
    if isinstance(v, Far):
        return Far(v.cycle, _to_date(v.value, target))
    if isinstance(v, Instant):
        return wall_clock(v).date()
    if isinstance(v, datetime):
        return v.date()
    if type(v) is date:
        return v
    if type(v) is not str:
        raise _malformed(v, target)
    match = _DATE.match(v.strip(_BLANKS))
    try:
        return spread(int(match[1]), lambda year: date(year, int(match[2] or 1), int(match[3] or 1)))
    except (TypeError, ValueError):
        raise _malformed(v, target) from None


def _zone(text):
    """The zone of a zone text. Raises ValueError."""
    if text in ("Z", "UTC", "GMT", "UT"):
        return UTC
    match = _OFFSET.match(text)
    if match is not None:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3] or 0), seconds=int(match[4] or 0))
        if offset > timedelta(hours=18):
            raise ValueError
        return timezone(-offset if match[1] == "-" else offset)
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, OSError):
        raise ValueError from None


def _to_timestamp(v, target):
    with_zone = target == "TIMESTAMP"
    if isinstance(v, Far):
        return Far(v.cycle, _to_timestamp(v.value, target))
    if isinstance(v, Instant):
        return v if with_zone else wall_clock(v)
    if isinstance(v, date):
        local = v if isinstance(v, datetime) else datetime(v.year, v.month, v.day)
        return instant(local) if with_zone else local
    if type(v) is not str:
        raise _malformed(v, target)
    try:
        return _read_timestamp(v.strip(_BLANKS), with_zone)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise _malformed(v, target) from None


def _read_timestamp(text, with_zone):
    match = _DATE.match(text)
    if match is None:  # a time of today
        if not with_zone or ":" not in text:
            raise ValueError
        today = datetime.now(session.zone)
        year, month, day, rest = today.year, today.month, today.day, text[1:] if text.startswith("T") else text
    else:
        if len(match[1].lstrip("+-")) > 6:
            raise ValueError
        year, month, day, rest = int(match[1]), int(match[2] or 1), int(match[3] or 1), match[4]
    hour = minute = second = micros = 0
    zone = None
    if rest:
        time = _TIME.match(rest)
        hour, minute, second = int(time[1]), int(time[2] or 0), int(time[3] or 0)
        micros = int((time[4] or "").ljust(6, "0")[:6])
        zone = _zone(time[5].strip(_BLANKS)) if time[5].strip(_BLANKS) else None

    def make(year):
        local = datetime(year, month, day, hour, minute, second, micros)
        return instant(local, zone) if with_zone else local
    return spread(year, make)


def to_text(v):
    """The text of a value as CAST(v AS STRING) gives it."""
    if v is None or type(v) is str:
        return v
    if v is True or v is False:
        return "true" if v else "false"
    if type(v) is Decimal:
        return format(v, "f")
    if isinstance(v, Far):
        return v.text(to_text)
    if isinstance(v, datetime):
        text = (wall_clock(v) if isinstance(v, Instant) else v).isoformat(" ")
        return text.rstrip("0") if "." in text else text
    if isinstance(v, float):
        return _double_text(v)
    if isinstance(v, (dict, list)):
        return json.dumps(v, separators=(",", ":"), ensure_ascii=False, default=to_text)
    return str(v)


def _double_text(v):
    if v != v:
        return "NaN"
    if v in (float("inf"), float("-inf")):
        return "Infinity" if v > 0 else "-Infinity"
    shortest = repr(float(v))
    if isinstance(v, Float32):
        shortest = next(
            text
            for digits in range(1, 10)
            if struct.pack("f", float(text := f"{float(v):.{digits}g}")) == struct.pack("f", v)
        )
    if v == 0 or 1e-3 <= abs(v) < 1e7:
        return repr(float(shortest))
    mantissa, _, exponent = f"{Decimal(shortest):E}".partition("E")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"


def to_cell(v, kind):
    """The text of a value in a result column of type `kind`."""
    if v is None or type(v) is str:
        return v
    if isinstance(v, Far) and isinstance(v.value, datetime):
        return v.text(lambda value: to_cell(value, kind))
    if isinstance(v, Instant):
        return timestamp_cell(v, session.zone)
    if isinstance(v, datetime):
        return timestamp_cell(v, None)
    return to_text(v)


_FIELD = re.compile(r"\s*(?:`((?:[^`]|``)*)`|(\w+))\s*:?\s*(\w+(?:\([^)]*\))?)\s*(,|$)")


def read_struct(schema):
    """The field names of 'STRUCT<a: STRING, ...>' or 'ARRAY<STRUCT<...>>' and whether it is an array. All fields
    must be STRING."""
    text = schema.strip()
    is_array = text.upper().startswith("ARRAY<")
    inner = text[6:-1].strip() if is_array else text
    if not inner.upper().startswith("STRUCT<") or not inner.endswith(">"):
        raise refuse("PARSE_SYNTAX_ERROR", f"the engine-free mode does not know the schema {schema[:60]}")
    inner, at, fields = inner[7:-1], 0, {}
    while at < len(inner):
        match = _FIELD.match(inner, at)
        if match is None or match[3].upper() != "STRING":
            raise refuse(
                "PARSE_SYNTAX_ERROR", f"the engine-free mode reads STRING fields only, at: {inner[at : at + 40]}"
            )
        fields[(match[1].replace("``", "`") if match[1] is not None else match[2])] = "STRING"
        at = match.end()
    return fields, is_array


def _as_written(value):
    """A JSON value of a batch as from_json puts it into a STRING: texts as they are, all else printed anew."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    return _print(value)


def _print(value):
    if isinstance(value, Decimal):
        return _double_text(float(value))
    if isinstance(value, float):  # NaN and its kind are words in quotes
        return f'"{_double_text(value)}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_print(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_print, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_decoder = json.JSONDecoder(parse_float=Decimal)


def well_formed(text):
    """A text without lone surrogates: the engine keeps `?` in their place."""
    return _LONE.sub("?", text)


_LONE = re.compile("[\ud800-\udfff]")
_QUOTED_ONCE = re.compile(r"'((?:[^'\\\\]|\\\\.)*)'")


def _find_json(text):
    text = text.lstrip(" \t\r\n")
    try:
        return _decoder.raw_decode(text)[0]
    except ValueError:
        if '"' in text:
            raise
        return _decoder.raw_decode(_QUOTED_ONCE.sub(r'"\1"', text))[0]  # the engine takes single quotes too


def parse_json(text, is_array, failfast):
    """What from_json gives: a list of dicts or one dict, values strings or None; None for an empty text."""
    if text is None or not text.strip():
        return None
    try:
        found = _find_json(text)
        if isinstance(found, dict) and is_array:
            found = [found]
        rows = found if is_array else [found]
        if not isinstance(rows, list) or not all(row is None or isinstance(row, dict) for row in rows):
            raise ValueError
    except ValueError:
        if not failfast:
            return None
        raise refuse(
            "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
            f"Malformed records are detected in record parsing: [{text[:20]}...]. Parse Mode: FAILFAST. To process "
            f"malformed "
            "records as null result, try setting the option 'mode' as 'PERMISSIVE'.",
        ) from None
    for row in rows:
        for name, value in (row or {}).items():
            if value is not None:
                row[name] = well_formed(_as_written(value))
    return rows if is_array else rows[0]
