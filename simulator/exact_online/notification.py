"""The bytes of a notification: Content in the styles that were seen, and the HashCode over exactly these bytes."""
import base64
import hashlib
import hmac
import json

from . import clock

FRACTIONS = tuple(f"fraction_{digits}" for digits in range(8))
ON_THE_WIRE = ("chunked", "expect", "http10", "lower_headers")     # how the request is sent; its body is the same
STYLES = ("plain", "escaped", "action_first", "short", *FRACTIONS, "upper_guids", "utf8", "delimiter", "inner_hash",
          "trailing", *ON_THE_WIRE,
          "bom", "old_names", "text_division", "braces", "topic_case", "no_key")
WEATHER = {**{style: style for style in (*ON_THE_WIRE, "old_names", "text_division", "braces", "topic_case", "no_key")},
           "bom": "bom_body"}       # style: the form of the weather
DRAWN = {"escaped": 0.2, "action_first": 0.15, "short": 0.1, "upper_guids": 0.15, "utf8": 0.1, "delimiter": 0.05,
         "inner_hash": 0.05}
FORGERIES = ("lower", "base64", "reserialized", "unescaped", "flipped", "unsigned", "other_secret")


def draw(rng, weather=None):
    """A combination of styles as chance has it; most messages are plain. Weather adds the rarer ones."""
    found = [style for style, share in DRAWN.items() if rng.random() < share]
    if weather is not None and weather.blows:
        rare = [style for style, form in WEATHER.items() if rng.random() < weather.share(form)]
        found += rare[:1]
        if "old_names" in rare[:1]:
            found = ["old_names"]
    if rng.random() < 0.4:
        found.append(FRACTIONS[rng.randrange(8)])
    return found or ["plain"]


def event_time(wall, styles, rng):
    """EventCreatedOn: local time without zone, with as many digits of a second as the style says."""
    digits = next((int(style[-1]) for style in styles if style in FRACTIONS), None)
    if digits is None:
        return clock.iso_of(wall)
    seconds = clock.iso_of(wall // 1000 * 1000)
    return f"{seconds}.{f'{wall % 1000:03d}{rng.randrange(10000):04d}'[:digits]}" if digits else seconds


def _string(value, styles):
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, int) else str(value)
    return text.replace("/", "\\/") if "escaped" in styles else text


def content(topic, client_id, division, action, key, endpoint, created, styles, extra=None):
    """The Content object as text. `extra` are members that no documentation knows."""
    if "upper_guids" in styles:
        endpoint = endpoint.replace(key, key.upper())
        client_id, key = client_id.upper(), key.upper()
    if "topic_case" in styles:
        topic = topic.lower()
    if "braces" in styles:
        client_id, key = f"{{{client_id}}}", f"{{{key}}}"
    if "no_key" in styles:
        key = ""
    if "text_division" in styles:
        division = str(division)
    if "old_names" in styles:
        members = [("Topic", topic), ("Action", action.upper()), ("Division", division), ("Key", key),
                   ("Endpoint", endpoint)]
        return "{" + ",".join(f'"{name}":{_string(value, styles)}' for name,
                              value in [*members, *(extra or {}).items()]) + "}"
    members = [("Topic", topic), ("ClientId", client_id), ("Division", division), ("Action", action), ("Key", key)]
    if "action_first" in styles:
        members[2], members[3] = members[3], members[2]
    if "short" not in styles:
        members += [("ExactOnlineEndpoint", endpoint), ("EventCreatedOn", created)]
    if "utf8" in styles:
        members.append(("Description", "Café «Zwölf» – 東京 🚲"))
    if "delimiter" in styles:
        members.append(("Note", '{"Content":{},"HashCode":"' + "0" * 64 + '"}'))
    if "inner_hash" in styles:
        members.append(("HashCode", "F" * 64))
    members += (extra or {}).items()
    return "{" + ",".join(f'"{name}":{_string(value, styles)}' for name, value in members) + "}"


def hash_of(text, secret):
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def body(text, code, styles=()):
    """The request's body around a Content and its HashCode."""
    head = b"\xef\xbb\xbf" if "bom" in styles else b""
    return head + f'{{"Content":{text},"HashCode":"{code}"}}'.encode() + (b" \r\n" if "trailing" in styles else b"")


def forged(text, secret, how, rng):
    """(Content, HashCode) of a message that nobody may believe; `how` is one of FORGERIES."""
    true, code = text, hash_of(text, secret)
    if how == "lower":
        code = code.lower()
    elif how == "base64":
        code = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
    elif how == "reserialized":
        text = json.dumps(json.loads(text), ensure_ascii=False)
    elif how == "unescaped":
        text = text.replace("\\/", "/") if "\\/" in text else text.replace("/", "\\/")
    elif how == "flipped":
        places = [i for i, c in enumerate(text) if c.isascii() and c.isalnum()]
        at = places[rng.randrange(len(places))]
        text = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1:]
    elif how == "unsigned":
        code = ""
    elif how == "other_secret":
        code = hash_of(text, secret + "x")
    else:
        raise ValueError(f"forge is one of {', '.join(FORGERIES)}")
    if hash_of(true, secret) == code and text == true:
        raise ValueError(f"this content cannot be {how}: nothing would change")
    return text, code
