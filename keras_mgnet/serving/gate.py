"""Checks every HTTP request before the application does: size, time, and whether the request may reach a local server."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keras_mgnet.serving.hosts import is_local
from keras_mgnet.serving.tensors import RequestError

BODIES = 16  # how many bodies of the largest size may be in memory at a time
HEADER_SECONDS = BODY_SECONDS = 30.0
MAX_HEADER_BYTES = 2**18
MAX_OWING = 512  # connections with an unfinished header or body; a further connection closes the oldest


class Gate:
    """Raises RequestError for large, slow and foreign requests. Passes other requests to `app`, with the body as scope["body"].

    On a loopback address, the Host header must name this machine, and a POST must be JSON. A web page from another site can
    then neither post to the server, nor read from the server through a host name that resolves to this machine.
    """

    def __init__(self, app: ASGIApp, max_request_bytes: int, loopback: bool):
        self._app, self._most, self._loopback, self._held = app, max_request_bytes, loopback, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, body = Request(scope, receive), bytearray()
        self._check(request.method, request.headers)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    body += part
                    self._held += len(part)
                    self._check_size(len(body))
                    if self._held > BODIES * self._most:
                        raise RequestError("expected fewer large bodies at a time. Received: another", status=503)
            await self._app(scope | {"body": body}, receive, send)  # in a copy: uvicorn reuses its scope
        except (TimeoutError, ClientDisconnect):
            raise RequestError(f"expected the body within {BODY_SECONDS:g} s. Received: a part", status=408) from None
        finally:
            self._held -= len(body)

    def _check(self, method: str, headers: Headers) -> None:
        host, kind = headers.get("host", "localhost"), headers.get("content-type", "").lower()  # browsers send a Host
        if self._loopback and not is_local(host):
            raise RequestError(f"expected the Host of this machine. Received: {host[:60]!r}", status=403)
        if self._loopback and method == "POST" and kind.partition(";")[0].strip() != "application/json":
            raise RequestError(f"expected Content-Type: application/json. Received: {kind[:60]!r}", status=415)
        if (encoding := headers.get("content-encoding", "identity")) != "identity":
            raise RequestError(f"expected no Content-Encoding. Received: {encoding[:60]!r}", status=415)
        self._check_size(int(headers.get("content-length", 0)))  # uvicorn has already checked that it is a number

    def _check_size(self, size: int) -> None:
        if size > self._most:
            raise RequestError(f"expected a body of at most {self._most} bytes. Received: more", status=413)


class ImpatientProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol with a time limit. Closes a connection if its header or body takes too long to arrive."""

    owing: dict["ImpatientProtocol", asyncio.TimerHandle] = {}  # noqa: RUF012, of all connections, the oldest first
    _header_bytes, _has_header = 0, False

    def connection_made(self, transport):
        super().connection_made(transport)
        self._start_clock(HEADER_SECONDS)
        if len(self.owing) > MAX_OWING:
            next(iter(self.owing)).transport.abort()

    def data_received(self, data):
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES and not self._has_header:
            self.transport.abort()
            return
        super().data_received(data)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self not in self.owing and self.timeout_keep_alive_task is None:  # bytes that begin no request
            self._start_clock(HEADER_SECONDS)

    def connection_lost(self, exc):
        self._stop_clock()
        super().connection_lost(exc)

    def on_message_begin(self):
        super().on_message_begin()
        self._header_bytes, self._has_header = 0, False
        self._start_clock(HEADER_SECONDS)

    def on_header(self, name, value):
        if self._has_header:  # a trailer, after the body: nobody reads it
            self.transport.abort()
        else:
            super().on_header(name, value)

    def on_headers_complete(self):
        self._has_header = True
        self._start_clock(BODY_SECONDS + 1)  # the gate's own limit comes first
        super().on_headers_complete()

    def on_message_complete(self):
        self._stop_clock()
        super().on_message_complete()

    def _start_clock(self, seconds: float) -> None:
        self._stop_clock()
        self.owing[self] = self.loop.call_later(seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if timer := self.owing.pop(self, None):
            timer.cancel()
