"""The video analysis: what moves between two frames."""

import os

import numpy as np
import redis
import tensorflow as tf
from fastapi import FastAPI

app = FastAPI()
cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


@app.get("/health")
def health() -> dict[str, str]:
    """Whether this service works and reaches the cache."""
    cache.ping()
    return {"service": "video-analysis", "numpy": np.__version__, "tensorflow": tf.__version__}


@app.get("/compute")
def compute() -> dict[str, float]:
    """The share of pixels that differ between two frames, blurred by a convolution."""
    frames = np.zeros((2, 120, 160, 1), np.float32)
    frames[0, 20:60, 20:60] = frames[1, 20:60, 40:80] = 1
    kernel = tf.ones((5, 5, 1, 1)) / 25
    blurred = tf.nn.conv2d(frames, kernel, strides=1, padding="SAME")
    return {"moved": float(tf.reduce_mean(tf.cast(tf.abs(blurred[0] - blurred[1]) > 0.5, tf.float32)))}
