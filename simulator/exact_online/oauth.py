"""OAuth 2.0 of the service: consent, codes, rotating single-use refresh tokens, one live chain per user.

Errors are those of the service, as Refusal: status, `error`, `error_description` and headers.
"""
import random
import string
import time
import uuid

_ALPHABET = string.ascii_letters + string.digits + "-_"
TOO_EARLY = "Rate limit exceeded: access_token not expired"
OLD_TOKEN = "Old refresh token used."
NO_CHAIN = "Token is not allowed, because of invalid or empty chainId"


class Refusal(Exception):
    """An error answer of the token endpoint; `user` is whose error budget it counts against."""

    def __init__(self, status, error, description, headers=None, user=None, members=None):
        super().__init__(description)
        self.status, self.error, self.description, self.headers, self.user = status, error, description, headers or {
            }, user
        self.members = members or {}        # more members of the body


def us_time(instant):
    """A time as the texts of the token endpoint write it: `10/11/2022 9:18:20 PM`."""
    t = time.gmtime(instant)
    hour, half = t.tm_hour % 12 or 12, "PM" if t.tm_hour >= 12 else "AM"
    return f"{t.tm_mon}/{t.tm_mday}/{t.tm_year} {hour}:{t.tm_min:02d}:{t.tm_sec:02d} {half}"


def _secret(rng, prefix, length):
    """A token text with the characters that must be form-encoded."""
    body = "".join(rng.choices(_ALPHABET, k=length))
    return f"{prefix}{body[:9]}!{body[9:20]}/{body[20:31]}+{body[31:]}="


class Chain:
    """What one consent of a user started; a later consent of the same user ends it."""

    def __init__(self, user, divisions=None):
        # divisions: those the consent is for, None = all
        self.user, self.alive, self.divisions = user, True, divisions


class Pair:
    """One issued access token and refresh token. `used` when either was used; `spent` when the refresh token was."""

    def __init__(self, chain, now, lifetime, refresh_from, rng, lengths, parent=None):
        self.chain, self.parent = chain, parent
        self.access = _secret(rng, "gAAAA", rng.randint(*lengths) - 9)
        self.refresh = _secret(rng, "stampNL001.", min(rng.randint(*lengths), 1500) - 15)
        self.issued, self.expires, self.refresh_from = now, now + lifetime, refresh_from
        self.used = self.spent = self.revoked = False
        self.child = None


class OAuth:
    """State of the app's consents. Times come from the clock."""

    def __init__(self, settings, the_clock, names, weather):
        self.settings, self.clock, self.names, self.weather = settings, the_clock, names, weather
        self.chains, self.codes, self.access, self.refresh = {}, {}, {}, {}
        self.calls = {}     # (user, day): token calls
        self.rng = random.Random(f"tokens {settings.seed}")     # tokens of a simulator; the same seed gives the same
        self.length = None

    def user_id(self, user):
        """A stable Guid for a user name, known from then on to whoever shows the names of users."""
        found = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{user}.{self.settings.seed}"))
        self.names.setdefault(found, user)
        return found

    def consent(self, user, divisions=None):
        """A fresh single-use code of a user, for all divisions or some."""
        code = _secret(self.rng, "stampNL001.", 48)
        self.codes[code] = (user, self.clock.now(), divisions)
        return code

    def start(self, user, age=0, divisions=None):
        """A new chain, ending the user's old one. `age`: how long ago its first pair counts as issued for the
        refresh rule."""
        if user in self.chains:
            self.chains[user].alive = False
        self.chains[user] = Chain(user, divisions)
        return self._issue(self.chains[user], self.clock.now() - age)

    def _issue(self, chain, counted_from, parent=None):
        now = self.clock.now()
        s = self.settings
        pair = Pair(chain, now, s.token_lifetime, counted_from + s.min_refresh_age, self.rng,
                    (s.token_length_min, s.token_length_max), parent)
        if self.length not in (None, len(pair.access)):
            self.weather.met("long_token")
        self.length = len(pair.access)
        self.access[pair.access] = self.refresh[pair.refresh] = pair
        return pair

    def bearer(self, token):
        """(pair, None) for a valid access token, else (pair or None, reason): unknown, expired, revoked."""
        pair = self.access.get(token)
        if pair is None:
            return None, "unknown"
        if pair.revoked or not pair.chain.alive:
            return pair, "revoked"
        if self.clock.now() >= pair.expires:
            return pair, "expired"
        pair.used = True
        return pair, None

    def token(self, form):
        """Answer a token request given as a dictionary: the new Pair, or Refusal."""
        grant = form.get("grant_type")
        if form.get("client_id", "").strip("{}").lower() != self.settings.client_id:
            raise Refusal(400, "invalid_client", "The client identifier is unknown.")
        if form.get("client_secret") != self.settings.client_secret:
            raise Refusal(401, "invalid_client", "The client secret was incorrect.")
        if grant == "authorization_code":
            return self._by_code(form)
        if grant == "refresh_token":
            return self._by_refresh(form.get("refresh_token") or "")
        raise Refusal(400, "unsupported_grant_type", "grant_type must be authorization_code or refresh_token.")

    def _count(self, user):
        """Count a token call of a user against the day's limit."""
        key = (user, int(self.clock.now() // 86400))
        self.calls[key] = self.calls.get(key, 0) + 1
        if self.settings.token_day_limit and self.calls[key] > self.settings.token_day_limit:
            raise Refusal(429, "access_denied", "Rate limit exceeded: too many token requests today", user=user)

    def _by_code(self, form):
        user, made, divisions = self.codes.pop(form.get("code"), (None, 0, None))
        if user is None or self.clock.now() - made > self.settings.code_lifetime:
            raise Refusal(400, "invalid_grant", "The authorization code is invalid, expired or already used.",
                          user=user)
        if form.get("redirect_uri") not in self.settings.redirect_uris:
            raise Refusal(400, "invalid_grant", "The redirect_uri does not match the one of the authorization request.",
                          user=user)
        self._count(user)
        return self.start(user, divisions=divisions)

    def _by_refresh(self, token):
        now = self.clock.now()
        pair = self.refresh.get(token)
        if pair is None:
            raise Refusal(400, "invalid_grant", NO_CHAIN)
        user = pair.chain.user
        self._count(user)
        if not pair.chain.alive:
            raise Refusal(400, "invalid_grant", NO_CHAIN, user=user)
        expires = pair.issued + self.settings.refresh_lifetime
        if now >= expires:
            self.weather.met("refresh_expired")
            text = f"The refresh token expired at {us_time(expires)} and it is now {us_time(now)}."
            raise Refusal(400, "invalid_request", text, user=user)
        if pair.spent:
            child = pair.child
            if self.settings.token_mode == "strict" or child is None or child.used or child.spent:
                if self.settings.old_token_status != 401:
                    self.weather.met("old_token_400")
                raise Refusal(self.settings.old_token_status, "unauthorized_client", OLD_TOKEN, user=user)
            child.revoked = child.spent = True      # the lost pair gives way to a new one
        elif now < pair.refresh_from:
            raise self._too_early(pair, now)
        pair.used = True
        if "no_refresh_token" in self.settings.token_extra:       # the old one stays
            self.weather.met("no_refresh_token")
            return self._issue(pair.chain, now, pair)
        pair.spent = True
        pair.child = self._issue(pair.chain, now, pair)
        return pair.child

    def _too_early(self, pair, now):
        """The refusal of a refresh that came too early; in one reading it holds a new refresh token, and the old one
        is spent."""
        s, members = self.settings, {}
        if s.too_early_rotates:
            self.weather.met("too_early_rotates")
            pair.spent, pair.child = True, self._issue(pair.chain, now, pair)
            members = {"refresh_token": pair.child.refresh}
        if s.too_early_status != 400:
            self.weather.met("too_early_401")
        return Refusal(s.too_early_status, "access_denied", TOO_EARLY, {"Reason": "TooEarlyToRefreshTokens"},
                       pair.chain.user, members)

    def revoke(self, what, user):
        """End the user's access tokens, refresh tokens or whole chain, or let both have expired; for the control
        API. True when there was a chain."""
        chain = self.chains.get(user)
        if chain is None:
            return False
        if what == "chain":
            chain.alive = False
        for pair in set(self.access.values()) | set(self.refresh.values()):
            if pair.chain is chain:
                if what == "access":
                    pair.revoked = True
                elif what == "expire":
                    pair.issued, pair.expires = self.clock.now() - self.settings.refresh_lifetime, self.clock.now()
                elif what == "refresh":
                    pair.spent, pair.child = True, None
        return True


def answer(pair, settings, weather):
    """The JSON of a token answer; expires_in is a string, as the service usually sends it."""
    made = {"access_token": pair.access, "token_type": "bearer", "expires_in": str(settings.token_lifetime),
            "refresh_token": pair.refresh}
    if settings.expires_in_form == "number" and weather.met("expires_in_number"):
        made["expires_in"] = settings.token_lifetime
    if "no_refresh_token" in settings.token_extra:
        del made["refresh_token"]
    if "members" in settings.token_extra and weather.met("token_members"):
        made = {"scope": "", **made, "token_kind": {"version": 2}, "issued": None}
    return made
