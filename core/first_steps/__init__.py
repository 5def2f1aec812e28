"""The first steps of a site, from a Docker engine to a live camera: what is known of it, and what to do next."""
