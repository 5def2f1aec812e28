"""Image builds: rendering the Dockerfile, running BuildKit, loading images, the smoke test, the history."""
