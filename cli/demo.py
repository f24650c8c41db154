"""`demo`"""


def register(app):
    pass
