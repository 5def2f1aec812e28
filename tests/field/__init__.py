"""One file for each kind of fault that was found in the field: a table, with one row for each report."""
