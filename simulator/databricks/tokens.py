"""OAuth for service principals, personal access tokens, and who a request comes from."""

import base64
import json
import secrets

from aiohttp import web

_PHRASE = "x-databricks-reason-phrase"
_NOT_SENT = "Credential was not sent or was of an unsupported type for this API."
_INVALID = "Invalid access token."


class Tokens:
    def __init__(self, settings, clock):
        self.settings, self.clock = settings, clock
        self._issued = {}  # token -> (user, when it expires)

    def issue(self):
        """A new access token of the service principal."""
        token = "eyJ" + secrets.token_urlsafe(48)
        self._issued[token] = (self.settings.client_id, self.clock.now() + self.settings.token_lifetime)
        return token

    def revoke(self, header):
        """Makes the OAuth token of an Authorization header invalid; a personal access token stays."""
        self._issued.pop(header.partition(" ")[2].strip(), None)

    def user(self, header):
        """The user behind an Authorization header, or the refusal to answer with."""
        scheme, _, token = (header or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None, refusal(401, _NOT_SENT)
        if self.settings.pat and secrets.compare_digest(token.encode(), self.settings.pat.encode()):
            return "user@example.com", None
        user, expires = self._issued.get(token, (None, 0))
        if user is None or self.clock.now() >= expires:
            return None, invalid_token()
        return user, None


def refusal(status, message):
    return web.json_response({"error_code": status, "message": message}, status=status, headers={_PHRASE: message})


def invalid_token():
    return refusal(403, _INVALID)


def _oauth_error(status, error, description):
    return web.json_response({"error": error, "error_description": description}, status=status, headers={"Cache-Control": "no-store"})


def _client(request, form):
    """Client id and secret from the basic header or the form."""
    header = request.headers.get("Authorization", "")
    if header.lower().startswith("basic "):
        try:
            client, _, secret = base64.b64decode(header[6:], validate=True).decode().partition(":")
            return client, secret
        except ValueError:
            return None, None
    return form.get("client_id"), form.get("client_secret")


def routes(workspace):
    table = web.RouteTableDef()
    settings, tokens = workspace.settings, workspace.tokens

    @table.get("/.well-known/databricks-config")
    async def host_metadata(request):
        return web.json_response({"oidc_endpoint": f"{request.url.origin()}/oidc", "workspace_id": workspace.workspace_id,
                                  "account_id": workspace.account_id, "cloud": "AWS", "host_type": "workspace"})

    @table.get("/oidc/.well-known/oauth-authorization-server")
    async def discovery(request):
        base = f"{request.url.origin()}/oidc"
        body = json.dumps({
            "authorization_endpoint": f"{base}/v1/authorize", "token_endpoint": f"{base}/v1/token", "issuer": base,
            "jwks_uri": f"{base}/jwks.json", "scopes_supported": ["all-apis", "email", "offline_access", "openid", "profile", "sql"],
            "response_types_supported": ["code", "id_token"], "response_modes_supported": ["query", "fragment", "form_post"],
            "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"], "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        })
        return web.Response(text=body.replace("/", "\\/"), content_type="application/json")

    @table.post("/oidc/v1/token")
    async def token(request):
        if request.content_type != "application/x-www-form-urlencoded":
            return _oauth_error(400, "invalid_request", "The body must be application/x-www-form-urlencoded")
        form = await request.post()
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "This workspace issues tokens for client_credentials only")
        client, secret = _client(request, form)
        if client != settings.client_id or not secrets.compare_digest((secret or "").encode(), settings.client_secret.encode()):
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        if "all-apis" not in form.get("scope", "").split():
            return _oauth_error(400, "invalid_scope", "The scope must contain all-apis")
        lifetime = int(settings.token_lifetime)
        return web.json_response({"access_token": tokens.issue(), "token_type": "Bearer", "scope": "all-apis",
                                  "expires_in": str(lifetime) if settings.expires_in_string else lifetime},
                                 headers={"Cache-Control": "no-store"})

    return table
