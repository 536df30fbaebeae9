"""Probabilities of the next token by the processors of transformers.

Usage: python sampling.py QUESTION.json ANSWER.json

The question is {"cases": [{"logits", "before", "temperature", "top_k", "top_p", "repetition_penalty"}]}; the answer
{"probabilities": [[float]]}.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


def probabilities(case: dict) -> list[float]:
    steps = LogitsProcessorList()
    if case["repetition_penalty"] != 1.0:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty=case["repetition_penalty"]))
    steps.append(TemperatureLogitsWarper(case["temperature"]))
    if case["top_k"] > 0:
        steps.append(TopKLogitsWarper(top_k=case["top_k"]))
    if case["top_p"] < 1.0:
        steps.append(TopPLogitsWarper(top_p=case["top_p"]))
    scores = torch.tensor([case["logits"]], dtype=torch.float32)
    before = torch.tensor([case["before"]], dtype=torch.long)
    return torch.softmax(steps(before, scores).double(), dim=-1)[0].tolist()


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    cases = json.loads(source.read_text())["cases"]
    out.write_text(json.dumps({"probabilities": [probabilities(case) for case in cases]}))


if __name__ == "__main__":
    main()
