"""REST requests to a server, and checks of the answers."""

import base64

import numpy as np

from support.numerics import assert_close
from support.served import NAME, encoded, pixels

EMBEDDED = ("savedmodel", "onnx")
MAX_BYTES = 300_000
PREDICT = f"/v1/models/{NAME}:predict"
JPEG = encoded(pixels(1)[0], "JPEG")


def b64(content: bytes) -> dict:
    return {"b64": base64.b64encode(content).decode()}


def rows(n=1) -> list:
    return pixels(n).tolist()


def check_rows(predictions, expected):
    assert [set(row) for row in predictions] == [{"logits", "probabilities", "classes"}] * len(expected)
    assert_close([row["logits"] for row in predictions], expected)
    assert [row["classes"] for row in predictions] == expected.argmax(-1).tolist()
    np.testing.assert_allclose(np.sum([row["probabilities"] for row in predictions], axis=-1), 1, atol=1e-5)


def head(length):
    """Returns the header of a predict request with a body of `length` bytes."""
    fields = ("Host: localhost", "Content-Type: application/json", f"Content-Length: {length}")
    return "\r\n".join([f"POST {PREDICT} HTTP/1.1", *fields, "", ""]).encode()


def rest_of(connection):
    """Returns the bytes that the server sends before it closes the connection."""
    received = b""
    try:
        while part := connection.recv(4096):
            received += part
    except ConnectionResetError:
        pass
    return received
