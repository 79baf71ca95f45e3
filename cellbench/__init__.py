"""Does your recurrent cell learn long-term tasks, how surely, and at what cost?"""  # noqa: D400 -- a question

__version__ = "0.1.0"
