"""Who may come in: requests from the page itself, from this machine or with the token.

A page of another site, open in the same browser, could send requests here. Its requests name their
origin, and a name that was made to lead here (DNS rebinding) stands in their Host: both are
refused.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from carplab.errors import UsageError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SHORTEST_TOKEN = 8
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
    # BokehJS puts its styles into the page itself
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Guard:
    """Lets in who may; `address` is the one that is listened on, "" for no token."""

    def __init__(self, address: str, token: str = "") -> None:
        self._token = token
        self._address = _parsed(address)
        if not self._is_loopback and not token:
            raise UsageError(
                f"others can reach {address}: give a token that they need, as in "
                "--token \"$(openssl rand -hex 8)\""
            )
        if token and len(token) < SHORTEST_TOKEN:
            raise UsageError(
                f"a token of {len(token)} characters is guessed soon: {SHORTEST_TOKEN} or more"
            )
        self._names = {*_LOOPBACK_NAMES, address}
        if not self._is_loopback:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}

    @property
    def _is_loopback(self) -> bool:
        return self._address.is_loopback

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what is foreign; every answer gets the headers that keep the page to itself."""
        refusal = self._refusal(request)
        if refusal:
            return web.json_response({"error": refusal}, status=403, headers=_HEADERS)
        if self._token and not self._matches(request.cookies.get(self._cookie(request))):
            return self._ask(request)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: web.Request) -> str:
        host = request.headers.get("Host", "")
        if not self._is_ours(urlsplit(f"//{host}").hostname or ""):
            return f"this page is not served as {host!r}: use the address that carplab live prints"
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            return f"requests from {origin!r} are refused: only this page's own are taken"
        return ""

    def _is_ours(self, name: str) -> bool:
        if name.lower() in self._names:
            return True
        try:  # on all addresses of the machine it is reached by any of them, but not by any name
            return self._address.is_unspecified and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _ask(self, request: web.Request) -> web.StreamResponse:
        """Take the token from the address, into a cookie and out of sight; or refuse."""
        if not self._matches(request.query.get("token")):
            text = "this page needs its token: open the address that carplab live prints"
            return web.json_response({"error": text}, status=403, headers=_HEADERS)
        response = web.Response(status=303, headers={"Location": request.path, **_HEADERS})
        response.set_cookie(self._cookie(request), self._token, httponly=True, samesite="Lax")
        return response

    def _matches(self, token: str | None) -> bool:
        return token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    @staticmethod
    def _cookie(request: web.Request) -> str:
        # cookies are shared by all ports of a host
        return f"carplab-{urlsplit(f'//{request.host}').port or 80}"


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        raise UsageError(
            f"{address!r} is no address of this machine to listen on: an IP address is expected, "
            "as in 127.0.0.1"
        ) from None
