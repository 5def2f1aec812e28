"""Events: on disk when they are decided, then in the database; their clips and statistics; how long all of it stays."""
