"""The forms that a report can be printed in, one file each."""
