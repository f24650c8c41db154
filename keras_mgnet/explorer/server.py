"""A web server for the page. Only this machine can reach the server.

A browser that accepts gzip gets the file NAME.gz in place of NAME, if there is one.
"""

import re
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from keras_mgnet.serving.hosts import is_local

HOST = "127.0.0.1"
HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'none'",  # the rest of the policy is in the page, for other servers too
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


COMPRESSED = ".gz"  # ending of a compressed file, next to the file itself
GZIP = re.compile(r"(?:gzip|\*)(?!\s*;\s*q=0(\.0*)?\s*$)")  # an entry of Accept-Encoding, unless its weight is 0


class PageHandler(SimpleHTTPRequestHandler):
    """Serves the files of one folder, without directory listings."""

    protocol_version = "HTTP/1.1"
    is_compressed = False  # whether the answer is a compressed file
    extensions_map = {  # noqa: RUF012
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }

    def parse_request(self):
        """Refuses requests that name a foreign host. A web page from another site may use such a name to reach this address."""
        self.is_compressed = False
        if not super().parse_request():
            return False
        known = is_local(self.headers.get("Host", ""))
        if not known:
            self.send_error(403)
        return known

    def translate_path(self, path):
        file = super().translate_path(path)
        accepted = self.headers.get("Accept-Encoding", "").split(",")
        self.is_compressed = Path(file + COMPRESSED).is_file() and any(GZIP.match(kind.strip()) for kind in accepted)
        return file + COMPRESSED if self.is_compressed else file

    def guess_type(self, path):
        return super().guess_type(path.removesuffix(COMPRESSED) if self.is_compressed else path)

    def send_head(self):
        try:
            return super().send_head()
        except ValueError:  # an impossible path
            self.send_error(404)

    def end_headers(self):
        if self.is_compressed:
            self.send_header("Content-Encoding", "gzip")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path):
        self.send_error(404)

    def log_message(self, *arguments):
        """Logs nothing, because a page requests many files."""


class PageServer(ThreadingHTTPServer):
    """Serves pages. Ignores errors of connections that the browser closes."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def page_server(folder: str | Path, port: int = 0) -> PageServer:
    """Returns a server for the page in a folder, bound to 127.0.0.1. Start it with `serve_forever`. Port 0 is any free port.

    Example:
        >>> with page_server(".") as server:
        ...     server.server_address[0]
        '127.0.0.1'
    """
    try:
        return PageServer((HOST, port), partial(PageHandler, directory=str(folder)))
    except OSError as error:
        raise OSError(f"expected a free port. Received: {port} ({error.strerror})") from error
