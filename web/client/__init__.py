"""A client of turnkeeper's HTTP API, and the parser of event streams that the audit reads with too."""
