"""Events: the spool on disk, the database, clips, statistics and retention."""
