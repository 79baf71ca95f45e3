"""Tables of records: in a terminal, as Markdown, JSON, or CSV."""
