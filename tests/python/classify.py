"""Predicts with the pipeline of transformers.

Usage: python classify.py MODEL_DIR QUESTION.json ANSWER.json

The question is {"texts": [str]}; the answer {"predictions": [{label: probability}]}.
"""

import json
import sys
from pathlib import Path

from transformers import pipeline


def main() -> None:
    model, source, out = map(Path, sys.argv[1:])
    texts = json.loads(source.read_text())["texts"]
    classify = pipeline("text-classification", model=str(model), top_k=None, device="cpu")
    found = classify(texts, batch_size=32)
    out.write_text(
        json.dumps({"predictions": [{one["label"]: one["score"] for one in row} for row in found]})
    )


if __name__ == "__main__":
    main()
