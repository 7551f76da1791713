"""The words: ids, records, messages, and the tree of errors. Data only."""
