"""What stands before every HTTP request: the limit of its body, and the farewell of a server that is to stop."""

import asyncio
from collections.abc import Callable

import orjson

from keras_mgnet.serving.errors import RequestError

BODIES = 16
LINGER_SECONDS = 2.0  # in which a client that still sends may read why it is refused


class Gate:
    """An ASGI layer that refuses large bodies, read or announced, and closes connections while draining.

    All bodies that are being read or answered may together hold `BODIES` times the largest one.

    Args:
        app: the application behind it.
        max_request_bytes: largest body.
        draining: whether the server is to stop.

    Example:
        >>> Gate(app=None, max_request_bytes=10, draining=lambda: False).max_request_bytes
        10
    """

    def __init__(self, app, max_request_bytes: int, draining: Callable[[], bool]):
        self.app, self.max_request_bytes, self.draining = app, max_request_bytes, draining
        self._held = 0

    async def __call__(self, scope, receive, send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if int(length) > self.max_request_bytes:  # the server has checked that it is a number
            await _refuse(self._too_large(), receive, send)
            return
        received = 0

        async def counted():
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self._held += size
            if received > self.max_request_bytes:
                raise self._too_large()
            if self._held > BODIES * self.max_request_bytes:
                raise RequestError("expected fewer large bodies at a time. Received: one more", status=503)
            return message

        try:
            await self.app(scope, counted, _closing(send) if self.draining() else send)
        finally:
            self._held -= received

    def _too_large(self) -> RequestError:
        return RequestError(f"expected a body of at most {self.max_request_bytes} bytes. Received: more", status=413)


def _closing(send):
    async def closing(message):
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return closing


async def _refuse(error: RequestError, receive, send) -> None:
    body = orjson.dumps({"error": str(error)})
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    try:
        async with asyncio.timeout(LINGER_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        pass
    await send({"type": "http.response.body"})
