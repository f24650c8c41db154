"""What Prometheus is told beside KServe's own metrics."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Histogram

from keras_mgnet.serving.errors import RequestError

REQUEST_SECONDS = Histogram(
    "keras_mgnet_request_seconds",
    "Seconds from a decoded request to its answer, with the count of requests, by protocol and HTTP status.",
    ["model_name", "protocol", "status"],
)


@contextmanager
def observed(model_name: str, protocol: str) -> Iterator[None]:
    """Measures the body as one request.

    Example:
        >>> with observed("digits", "rest"):
        ...     pass
        >>> REQUEST_SECONDS.labels("digits", "rest", 200)._sum.get() > 0
        True
    """
    start, status = time.perf_counter(), 500
    try:
        yield
        status = 200
    except RequestError as error:
        status = error.status
        raise
    finally:
        REQUEST_SECONDS.labels(model_name, protocol, status).observe(time.perf_counter() - start)
