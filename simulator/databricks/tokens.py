"""OAuth for service principals, personal access tokens, and who a request comes from."""

import base64
import json
import secrets

from aiohttp import web

from .wire import LOGIN_PAGE

_PHRASE = "x-databricks-reason-phrase"
_NOT_SENT = "Credential was not sent or was of an unsupported type for this API."
_INVALID = "Invalid access token."
_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_AZURE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"  # Databricks' resource id in Entra ID


class Tokens:
    def __init__(self, settings, clock):
        self.settings, self.clock = settings, clock
        self._issued = {}  # token -> (user, when it expires)

    def issue(self):
        """A new access token of the service principal."""
        token = "eyJraWQiOi" + secrets.token_urlsafe(43)
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
    headers = {_PHRASE: message}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="DatabricksRealm"'
    return web.json_response({"error_code": status, "message": message}, status=status, headers=headers)


def invalid_token():
    return refusal(403, _INVALID)


def _oauth_error(status, error, description):
    return web.json_response(
        {"error": error, "error_description": description}, status=status, headers={"Cache-Control": "no-store"}
    )


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
        refused = _undiscovered()
        return refused or web.json_response(
            {
                "oidc_endpoint": f"{request.url.origin()}/oidc",
                "workspace_id": workspace.workspace_id,
                "account_id": workspace.account_id,
                "cloud": "AWS",
                "host_type": "unified" if settings.unified_host else "workspace",
                "token_federation_default_oidc_audiences": [f"{request.url.origin()}/oidc/v1/token"],
            }
        )

    def _undiscovered():
        """What `discovery` says instead of the document."""
        if settings.discovery == "ok":
            return None
        workspace.weather.met("discovery")
        if settings.discovery == "html":
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        return web.json_response(
            {"error_code": "ENDPOINT_NOT_FOUND", "message": "OAuth is not available on this host."}, status=404
        )

    def _metadata(request, prefix):
        base = f"{request.url.origin()}{prefix}"
        body = json.dumps(
            {
                "authorization_endpoint": f"{base}/v1/authorize",
                "token_endpoint": f"{base}/v1/token",
                "issuer": base,
                "jwks_uri": f"{base}/jwks.json",
                "scopes_supported": ["all-apis", "email", "offline_access", "openid", "profile", "sql"],
                "response_types_supported": ["code", "id_token"],
                "response_modes_supported": ["query", "fragment", "form_post"],
                "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "subject_types_supported": ["public"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            }
        )
        return web.Response(text=body.replace("/", "\\/"), content_type="application/json")

    @table.get("/oidc/.well-known/oauth-authorization-server")
    async def discovery(request):
        return _undiscovered() or _metadata(request, "/oidc")

    @table.get("/oidc/accounts/{account}/.well-known/oauth-authorization-server")
    async def account_discovery(request):
        if settings.token_kinds != "all" or request.match_info["account"] != workspace.account_id:
            raise web.HTTPNotFound()
        workspace.weather.met("token_kinds")
        return _undiscovered() or _metadata(request, f"/oidc/accounts/{workspace.account_id}")

    @table.post("/oidc/v1/token")
    async def token(request):
        if request.content_type != "application/x-www-form-urlencoded":
            return _oauth_error(400, "invalid_request", "The body must be application/x-www-form-urlencoded")
        form = await request.post()
        if form.get("grant_type") == _EXCHANGE and settings.token_kinds == "all":
            return _exchange(request, form)
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(
                400, "unsupported_grant_type", "This workspace issues tokens for client_credentials only"
            )
        refused = _refuse_client(request, form)
        if refused is not None:
            return refused
        if "all-apis" not in form.get("scope", "").split():
            return _oauth_error(400, "invalid_scope", "The scope must contain all-apis")
        return _issued()

    def _refuse_client(request, form):
        client, secret = _client(request, form)
        if client != settings.client_id or not secrets.compare_digest(
            (secret or "").encode(), settings.client_secret.encode()
        ):
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        return None

    def _issued(**more):
        lifetime = int(settings.token_lifetime)
        return web.json_response({"access_token": tokens.issue(), "token_type": "Bearer", "scope": "all-apis",
                                  "expires_in": str(lifetime) if settings.expires_in_string else lifetime, **more},
                                 headers={"Cache-Control": "no-store"})

    def _exchange(request, form):
        """Token federation: a JWT of another issuer for a token; without basic authentication."""
        workspace.weather.met("token_kinds")
        if (
            form.get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt"
            or form.get("subject_token", "").count(".") != 2
        ):
            return _oauth_error(400, "invalid_request", "subject_token must be a JWT")
        if form.get("client_id") not in (None, settings.client_id) or request.headers.get("Authorization"):
            return _oauth_error(401, "invalid_client", "Client authentication failed")
        return _issued(issued_token_type="urn:ietf:params:oauth:token-type:access_token")

    @table.post("/oidc/accounts/{account}/v1/token")
    async def account_token(request):
        if settings.token_kinds != "all" or request.match_info["account"] != workspace.account_id:
            raise web.HTTPNotFound()
        workspace.weather.met("token_kinds")
        return await token(request)

    @table.post("/{tenant:[0-9a-f-]{36}}/oauth2/token")
    async def entra_token(request):
        """Entra ID: another issuer's form of the same; its secrets are not those of the workspace in reality."""
        if settings.token_kinds != "all":
            raise web.HTTPNotFound()
        form = await request.post()
        if form.get("grant_type") != "client_credentials" or form.get("resource") != _AZURE:
            return _oauth_error(400, "invalid_request", "AADSTS90014: The required field 'resource' is missing.")
        workspace.weather.met("token_kinds")
        return _refuse_client(request, form) or _issued(
            resource=_AZURE, expires_on=str(int(workspace.clock.now() + settings.token_lifetime))
        )

    return table
