"""Writes bert_logits.json: token ids, mask and logits that transformers computes for a few sentences.

Usage: python bert_logits.py MODEL_DIR [OUT.json]

MODEL_DIR is sentence-transformers' all-MiniLM-L6-v2. The classification head is given by a formula, so that
the Rust test builds the same one: weight[i] = 0.05 sin(i + 1) over the flattened matrix, bias[j] = 0.1 cos(j).
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertForSequenceClassification

SENTENCES = [
    "a gorgeous , witty , seductive movie .",
    "dull",
    "it 's a charming and often affecting journey .",
    "the film is strictly routine , and it never quite manages to be anything more than that, "
    "however hard its Café-dwelling cast — led by a naïve Zoë — may try.",
]
LABELS = 3


def main() -> None:
    source = Path(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("bert_logits.json")
    model = BertForSequenceClassification.from_pretrained(source, num_labels=LABELS, dtype=torch.float32)
    model.eval()
    width = model.config.hidden_size
    with torch.no_grad():
        i = torch.arange(LABELS * width, dtype=torch.float64)
        model.classifier.weight.copy_((0.05 * torch.sin(i + 1)).view(LABELS, width))
        model.classifier.bias.copy_(0.1 * torch.cos(torch.arange(LABELS, dtype=torch.float64)))
        batch = AutoTokenizer.from_pretrained(source)(SENTENCES, padding=True, return_tensors="pt")
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    golden = {
        "sentences": SENTENCES,
        "ids": batch["input_ids"].tolist(),
        "mask": batch["attention_mask"].tolist(),
        "logits": logits.tolist(),
    }
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items())
    out.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
