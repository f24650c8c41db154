"""What a client is told when its request cannot be answered."""


class RequestError(ValueError):
    """A refused request: the message names its field, the HTTP status says who can mend it (4xx the client, 503 time).

    Example:
        >>> RequestError("expected 'instances'. Received: {}").status
        400
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status
