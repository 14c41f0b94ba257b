"""An itemised energy receipt for every AI request."""
