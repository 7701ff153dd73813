"""Who may ask the model server, where it has a token: whoever shows it, before a body is read."""

import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN = {"/ping", "/health", "/version"}  # they tell nothing but how the server is


class BearerToken:
    """Answers 401 to a request without the token."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._shown(scope):
            return await self._app(scope, receive, send)
        error, headers = {"error": "this server wants a bearer token"}, {"WWW-Authenticate": "Bearer"}
        await JSONResponse(error, 401, headers)(scope, receive, send)

    def _shown(self, scope: Scope) -> bool:
        return hmac.compare_digest(Headers(scope=scope).get("authorization", "").encode(), self._expected)
