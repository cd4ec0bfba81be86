"""OAuth 2.0 of the service: consent, codes, rotating single-use refresh tokens, one live chain per user.

Errors are those of the service, as Refusal: status, `error`, `error_description` and headers.
"""
import secrets
import string
import uuid

from .clock import utc_iso

_ALPHABET = string.ascii_letters + string.digits + "-_"
TOO_EARLY = "Rate limit exceeded: access_token not expired"
OLD_TOKEN = "Old refresh token used."
NO_CHAIN = "Token is not allowed, because of invalid or empty chainId"


class Refusal(Exception):
    """An error answer of the token endpoint; `user` is whose error budget it counts against."""

    def __init__(self, status, error, description, headers=None, user=None):
        super().__init__(description)
        self.status, self.error, self.description, self.headers, self.user = status, error, description, headers or {}, user


def _secret(prefix, length):
    """A token text with the characters that must be form-encoded."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(length))
    return f"{prefix}{body[:9]}!{body[9:20]}/{body[20:31]}+{body[31:]}="


class Chain:
    """What one consent of a user started; a later consent of the same user ends it."""

    def __init__(self, user):
        self.user, self.alive = user, True


class Pair:
    """One issued access token and refresh token. `used` when either was used; `spent` when the refresh token was."""

    def __init__(self, chain, now, lifetime, refresh_from, parent=None):
        self.chain, self.parent = chain, parent
        self.access = _secret("gAAAA", 96)
        self.refresh = _secret("stampNL001.", 80)
        self.issued, self.expires, self.refresh_from = now, now + lifetime, refresh_from
        self.used = self.spent = self.revoked = False
        self.child = None


class OAuth:
    """State of the app's consents. Times come from the clock."""

    def __init__(self, settings, the_clock, names):
        self.settings, self.clock, self.names = settings, the_clock, names
        self.chains, self.codes, self.access, self.refresh = {}, {}, {}, {}
        self.calls = {}     # (user, day): token calls

    def user_id(self, user):
        """A stable Guid for a user name, known from then on to whoever shows the names of users."""
        found = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{user}.{self.settings.seed}"))
        self.names.setdefault(found, user)
        return found

    def consent(self, user):
        """A fresh single-use code of a user."""
        code = _secret("stampNL001.", 48)
        self.codes[code] = (user, self.clock.now())
        return code

    def start(self, user, age=0):
        """A new chain, ending the user's old one. `age`: how long ago its first pair counts as issued for the refresh rule."""
        if user in self.chains:
            self.chains[user].alive = False
        self.chains[user] = Chain(user)
        return self._issue(self.chains[user], self.clock.now() - age)

    def _issue(self, chain, counted_from, parent=None):
        now = self.clock.now()
        pair = Pair(chain, now, self.settings.token_lifetime, counted_from + self.settings.min_refresh_age, parent)
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
        user, made = self.codes.pop(form.get("code"), (None, 0))
        if user is None or self.clock.now() - made > self.settings.code_lifetime:
            raise Refusal(400, "invalid_grant", "The authorization code is invalid, expired or already used.", user=user)
        if form.get("redirect_uri") not in self.settings.redirect_uris:
            raise Refusal(400, "invalid_grant", "The redirect_uri does not match the one of the authorization request.", user=user)
        self._count(user)
        return self.start(user)

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
            raise Refusal(400, "invalid_request", f"Refresh token expired at {utc_iso(expires)}, current time is {utc_iso(now)}.",
                          user=user)
        if pair.spent:
            child = pair.child
            if self.settings.token_mode == "strict" or child is None or child.used or child.spent:
                raise Refusal(401, "unauthorized_client", OLD_TOKEN, user=user)
            child.revoked = child.spent = True      # the lost pair gives way to a new one
        elif now < pair.refresh_from:
            raise Refusal(400, "access_denied", TOO_EARLY, {"Reason": "TooEarlyToRefreshTokens"}, user=user)
        pair.spent = pair.used = True
        pair.child = self._issue(pair.chain, now, pair)
        return pair.child

    def revoke(self, what, user):
        """End the user's access tokens, refresh tokens or whole chain; for the control API. True when there was a chain."""
        chain = self.chains.get(user)
        if chain is None:
            return False
        if what == "chain":
            chain.alive = False
        for pair in set(self.access.values()) | set(self.refresh.values()):
            if pair.chain is chain:
                if what == "access":
                    pair.revoked = True
                elif what == "refresh":
                    pair.spent, pair.child = True, None
        return True


def answer(pair, settings):
    """The JSON of a token answer; expires_in is a string, as the service sends it."""
    return {"access_token": pair.access, "token_type": "bearer", "expires_in": str(settings.token_lifetime), "refresh_token": pair.refresh}
