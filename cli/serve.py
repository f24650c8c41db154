"""`serve`: exported models behind a server."""

from pathlib import Path
from typing import Annotated

import typer

from keras_mgnet.serving.launch import SERVERS, Service, default_name, launch

SERVER_HELP = "auto, for the first of these that can: " + "; ".join(
    f"{name}: {row.summary}" for name, row in SERVERS.items()
)


def serve_command(
    base: Annotated[Path, typer.Argument(help="folder of versions that export wrote, or an .onnx file")],
    name: Annotated[
        str | None, typer.Option(help="of the model in URLs; by default that of the folder or file")
    ] = None,
    with_: Annotated[str, typer.Option("--with", help=SERVER_HELP)] = "auto",
    host: Annotated[str, typer.Option(help="IP address to listen on; 0.0.0.0 for every one")] = Service.host,
    rest_port: Annotated[int, typer.Option(min=1, max=65535, help="of the REST protocol")] = Service.rest_port,
    grpc_port: Annotated[int, typer.Option(min=1, max=65535, help="of gRPC")] = Service.grpc_port,
    max_request_mb: Annotated[
        int, typer.Option(min=1, help="largest request; the embedded server alone has a limit")
    ] = Service.max_request_bytes // 2**20,
) -> None:
    """Serve an exported model over REST and gRPC, on this machine alone unless --host says otherwise.

    All have REST's predict protocol. TensorFlow Serving alone has the gRPC PredictionService; the embedded server has
    KServe's open inference protocol over REST and gRPC. docs/serving.md compares them.

    Example:
        keras-mgnet serve exported/savedmodel --rest-port 8080
    """
    service = Service(base, name or default_name(base), host, rest_port, grpc_port, max_request_mb * 2**20)
    launch(service, with_, lambda line: typer.echo(line))
