"""A small model server that runs anywhere, to show receipts of real work."""
