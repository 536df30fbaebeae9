"""Loads a saved classifier with transformers and writes its logits.

Usage: python bert_logits.py MODEL_DIR IDS.json OUT.json

IDS.json is {"ids": [[int]], "mask": [[int]]}; OUT.json becomes {"logits": [[float]], "id2label": {id: name}}.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification


def main() -> None:
    source, inputs, out = map(Path, sys.argv[1:])
    if not source.is_dir():
        sys.exit(f"{source} is no folder")
    model, report = AutoModelForSequenceClassification.from_pretrained(source, output_loading_info=True)
    problems = {key: sorted(map(str, value)) for key, value in report.items() if value}
    if problems:
        sys.exit(f"{source} does not load cleanly: {problems}")
    model.eval()
    batch = json.loads(inputs.read_text())
    with torch.no_grad():
        logits = model(
            input_ids=torch.tensor(batch["ids"]), attention_mask=torch.tensor(batch["mask"])
        ).logits
    result = {"logits": logits.double().tolist(), "id2label": model.config.id2label}
    out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
