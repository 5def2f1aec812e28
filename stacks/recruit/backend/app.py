"""The backend: what the agent remembered, and pictures."""

import os

import cv2
import numpy as np
import redis
from fastapi import FastAPI, HTTPException

app = FastAPI()
cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


@app.get("/health")
def health() -> dict[str, str]:
    """Whether this service works and reaches the cache."""
    cache.ping()
    return {"service": "backend", "numpy": np.__version__, "opencv": cv2.__version__}


@app.get("/memory/{key}")
def memory(key: str) -> dict[str, str]:
    """What the agent remembered under a key."""
    value = cache.get(key)
    if value is None:
        raise HTTPException(404, f"nothing is remembered as {key}")
    return {"key": key, "value": str(value)}


@app.get("/compute")
def compute() -> dict[str, float]:
    """The share of edges in a picture that is drawn on the spot."""
    picture = np.zeros((240, 320), np.uint8)
    cv2.circle(picture, (160, 120), 60, 255, -1)
    return {"edges": float((cv2.Canny(picture, 100, 200) > 0).mean())}
