"""`explore`: runs networks in the browser and shows their states after each iteration."""

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated

import typer

from keras_mgnet.cli.options import CheckpointOption, DatasetOption
from keras_mgnet.console import say, stderr
from keras_mgnet.explorer.bundle import write_page
from keras_mgnet.explorer.server import page_server
from keras_mgnet.training.runs.run import open_run


def explore_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="one or more run directories")],
    out: Annotated[Path, typer.Option(help="folder to write the page to")] = Path("explored"),
    checkpoint: CheckpointOption = "last",
    dataset: DatasetOption = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port of the page's server; 0 for any free port")] = 8600,
    serve: Annotated[bool, typer.Option(help="serve the page, or only write the page")] = True,
) -> None:
    """Watch the states of networks change, iteration by iteration, for a digit you draw or an image you open in the browser.

    The networks run in the browser. The page loads nothing from other sites, and only this machine can reach its server.

    Example:
        keras-mgnet explore runs/mnist-mgnet-001 runs/mnist-resnet20-001
    """
    opened = [open_run(run) for run in runs]
    server = page_server(out, port) if serve else None  # reports a taken port before anything is computed
    with server or nullcontext():
        with stderr().status("starting") as status:
            page = write_page(opened, out, checkpoint, dataset, status.update)
        megabytes = f"{page.size_bytes / 1e6:.1f} MB, of which {page.of_runtime / 1e6:.1f} MB are onnxruntime-web"
        sent = f"sent as {page.compressed_bytes / 1e6:.1f} MB"
        what = f"{page.networks} network{'s' * (page.networks > 1)}, {page.samples} test images"
        say(f"wrote {page.path}: {what}, {megabytes}; {sent}")
        if server is not None:
            host, port = server.server_address
            say(f"open http://{host}:{port}/ in a browser; Ctrl-C ends")
            with suppress(KeyboardInterrupt):
                server.serve_forever()
