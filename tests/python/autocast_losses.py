"""Losses of transformers over some steps of AdamW, in f32 and under autocast to bf16.

Usage: python autocast_losses.py bert|decoder DIR BATCH.json STEPS RATE

BATCH.json is {"ids": [[…]], "labels": […]}; a decoder predicts its own ids. No dropout. Prints {"f32": […], "autocast": […]}.
"""

import json
import sys
from pathlib import Path

import torch
import transformers


def losses(kind: str, folder: str, batch: dict, steps: int, rate: float, autocast: bool) -> list[float]:
    if kind == "bert":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.eval()
    ids = torch.tensor(batch["ids"])
    inputs = {"input_ids": ids, "labels": torch.tensor(batch["labels"]) if kind == "bert" else ids}
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def main() -> None:
    kind, folder, batch, steps, rate = sys.argv[1:]
    transformers.logging.set_verbosity_error()
    batch = json.loads(Path(batch).read_text())
    arguments = (kind, folder, batch, int(steps), float(rate))
    print(json.dumps({"f32": losses(*arguments, False), "autocast": losses(*arguments, True)}))


if __name__ == "__main__":
    main()
