"""What a run costs and where it ran: clock, device, host, environment."""


class UnknownError(Exception):
    """A figure that this system does not tell; the text is the reason for a record's null."""
