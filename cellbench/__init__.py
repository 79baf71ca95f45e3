"""cellbench: does your recurrent cell learn long-term tasks, how surely, and at what cost?"""

__version__ = "0.1.0"
