"""How the tests are spread over the processes of pytest-xdist."""

from xdist.scheduler import LoadScopeScheduling

TOGETHER = ("tests/explorer/", "tests/serving/")  # whose files share networks and servers


class ByFile(LoadScopeScheduling):
    """Gives the tests of a file to one process, and those of some folders too.

    `--dist loadgroup` would do it by markers, but with pytest 9.2 pytest-xdist 3.8 no longer sees them, in silence.
    """

    def __init__(self, config, log):
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the files with most tests are not those that take longest

    def _split_scope(self, nodeid):
        return next(filter(nodeid.startswith, TOGETHER), nodeid.partition("::")[0])
