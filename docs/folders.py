"""For the documentation: the folders that setup.py maps into the package are found where they are installed."""

import griffe

FOLDERS = ("training", "export", "serving", "explorer")


class Folders(griffe.Extension):
    """Makes each folder a module of keras_mgnet."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **kwargs) -> None:
        """Looks at every package that has been loaded."""
        if pkg.name == "keras_mgnet":
            for folder in FOLDERS:
                pkg.set_member(folder, loader.load(folder, try_relative_path=False))
