"""Image builds: render the Dockerfile, drive BuildKit, load images, smoke test, history."""
