"""Who is told of which events, over which channel, and that nobody is told twice or never."""
