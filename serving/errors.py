"""What a client is told when its request cannot be answered."""

import logging

log = logging.getLogger(__name__)

INTERNAL_ERROR = "internal error"

STATUSES = {  # by name, so that a process without KServe can load this file
    "InvalidInput": 400,
    "RequestValidationError": 400,
    "ModelNotFound": 404,
    "NotImplementedError": 501,
    "ModelNotReady": 503,
    "ServerNotReady": 503,
}


class RequestError(ValueError):
    """A request that is refused, with the HTTP status that says why.

    Args:
        message: names the field of the request, what was expected there and what was received.
        status: 4xx where the client can mend it, 503 where it may come back.

    Example:
        >>> RequestError("expected 'instances'. Received: {}").status
        400
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


def described(error: Exception) -> tuple[int, str]:
    """Returns the HTTP status and the message of an error; one that is no client's fault is logged and not shown.

    Example:
        >>> described(RequestError("unknown version '7'", status=404))
        (404, "unknown version '7'")
    """
    if isinstance(error, RequestError):
        return error.status, str(error)
    status = STATUSES.get(type(error).__name__)
    if status is None:
        log.error("a request failed", exc_info=error)
        return 500, INTERNAL_ERROR
    if type(error).__name__ == "RequestValidationError":
        return status, "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
    return status, str(error)
