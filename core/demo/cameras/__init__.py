"""The generated cameras: drawn, encoded and served over HTTP. Needs the packages of the inference service."""
