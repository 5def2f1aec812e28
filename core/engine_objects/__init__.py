"""What an engine holds besides containers: images, volumes, networks and build cache; and its events."""
