"""The agent: ranks candidates for a position, and remembers what it is told."""

import os

import redis
import sklearn
from fastapi import FastAPI
from pydantic import BaseModel
from sklearn.feature_extraction.text import TfidfVectorizer

app = FastAPI()
cache = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)


class Note(BaseModel):
    """Something to remember."""

    value: str


@app.get("/health")
def health() -> dict[str, str]:
    """Whether this service works and reaches the cache."""
    cache.ping()
    return {"service": "agent", "scikit-learn": sklearn.__version__}


@app.put("/memory/{key}")
def remember(key: str, note: Note) -> dict[str, str]:
    """Remember a value in the cache, where the backend finds it."""
    cache.set(key, note.value)
    return {"key": key, "value": note.value}


@app.get("/compute")
def compute(position: str = "a welder for the night shift") -> dict[str, float]:
    """How well three candidates fit a position: the cosine of their words."""
    candidates = ["welder with ten years of experience", "nurse in the night shift", "driver of a lorry"]
    words = TfidfVectorizer().fit_transform([position, *candidates])
    scores = (words[1:] @ words[0].T).toarray().ravel()
    return {candidate: float(score) for candidate, score in zip(candidates, scores, strict=True)}
