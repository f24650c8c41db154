"""Distributes the tests over the processes of pytest-xdist."""

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/explorer/", "tests/serving/")  # whose files share networks and servers


class ByFile(LoadScopeScheduling):
    """Runs all tests of a file in one process, and all tests of a folder in `TOGETHER` in one process.

    `--dist loadgroup` would do the same with markers, but pytest-xdist 3.8 silently ignores these markers with pytest 9.2.
    """

    def __init__(self, config, log):
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the files with most tests are not those that take longest

    def _split_scope(self, nodeid):
        return next(filter(nodeid.startswith, TOGETHER), nodeid.partition("::")[0])
