"""Who may talk to the page: the browser that opened its address first, and no page of another site."""

import hmac
import secrets
from http.cookies import SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "zerolabel-review"
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
     b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)  # fmt: skip


class Guard:
    """Answers with an empty 404 whatever does not come from a reviewer's own browser.

    The first path segment is a reviewer's token. The first browser that opens it gets a cookie, and from then on the
    token is useless without it. A request with another host (a name that was made to point here) or from the page of
    another origin gets nothing, and neither does one that writes without saying where it comes from.

    Args:
        app: what is guarded; finds the reviewer's name in the state of the request.
        reviewers: names, by their tokens.
        hosts: what the Host header may be, such as ``127.0.0.1:PORT``.
    """

    def __init__(self, app: ASGIApp, reviewers: dict[str, str], hosts: frozenset[str]) -> None:
        self.app, self.reviewers, self.hosts = app, reviewers, hosts
        self.browsers: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        token = self._token(scope) if scope["type"] == "http" else None
        if token is None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close"})
                return
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        scope.setdefault("state", {})["reviewer"] = self.reviewers[token]
        new = token not in self.browsers
        cookie = self.browsers.setdefault(token, secrets.token_urlsafe(32))

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_HEADERS]
                if new:
                    text = f"{COOKIE}={cookie}; Path=/{token}/; HttpOnly; SameSite=Strict"
                    headers.append((b"set-cookie", text.encode()))
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, sent)

    def _token(self, scope: Scope) -> str | None:
        """The token of a request that may be answered."""
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get(b"host", ""), headers.get(b"origin")
        if host not in self.hosts or origin not in (None, f"http://{host}"):
            return None
        site = headers.get(b"sec-fetch-site", "none")
        if site not in ("same-origin", "none") or (scope["method"] not in ("GET", "HEAD") and origin is None):
            return None
        given = scope["path"].split("/")[1].encode()
        token = next((one for one in self.reviewers if hmac.compare_digest(one.encode(), given)), None)
        if token is None or token not in self.browsers:
            page = scope["method"] == "GET" and scope["path"] == f"/{token}/"
            return token if page else None
        cookies = SimpleCookie(headers.get(b"cookie", ""))
        own = cookies[COOKIE].value if COOKIE in cookies else ""
        return token if hmac.compare_digest(own.encode(), self.browsers[token].encode()) else None
