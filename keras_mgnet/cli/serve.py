"""`serve`: serves an exported model with the embedded server."""

from pathlib import Path
from typing import Annotated

import typer

from keras_mgnet.extras import SERVE, extra


def serve_command(
    base: Annotated[Path, typer.Argument(help="folder of versions written by export, or an .onnx file")],
    name: Annotated[str, typer.Option(help="name of the model in URLs; by default the folder's or file's name")] = "",
    host: Annotated[str, typer.Option(help="IP address to listen on; 0.0.0.0 for all addresses")] = "127.0.0.1",
    rest_port: Annotated[int, typer.Option(min=0, max=65535, help="port of REST; 0 for any free port")] = 8501,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="port of gRPC; 0 for any free port")] = 8500,
    max_request_mb: Annotated[float, typer.Option(min=0.001, help="size of the largest request, in MiB")] = 16,
    drain_seconds: Annotated[
        float, typer.Option(min=0, help="seconds to accept requests after SIGTERM, while /readyz answers 503")
    ] = 2,
) -> None:
    """Serve an exported model with TensorFlow Serving's protocols. Only this machine can reach the server unless you set --host.

    A SavedModel is served over REST and gRPC, an ONNX file only over REST. docs/serving.md shows how to serve the same files with
    TensorFlow Serving, KServe and Triton.

    Example:
        keras-mgnet serve exported/mgnet --rest-port 8080
    """
    serve = extra("keras_mgnet.serving.server", SERVE).serve
    serve(base, name, host, rest_port, grpc_port, int(max_request_mb * 2**20), drain_seconds)
