"""The inference service: what runs inside an image."""

import os

# ONNX Runtime for Linux reports to its maker unless this is set when it is imported. A site is not to be reported on.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
