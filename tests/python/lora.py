"""Asks PEFT about adapters of a BERT classifier.

Usage: python lora.py JOBS.json OUT.json

JOBS.json is {"base": folder, "ids": [[int]], "mask": [[int]], "jobs": [job]}, and a job one of
  {"read": adapter folder}: the adapter is loaded onto the base; answers {"logits", "merged"}: before and after merging.
  {"write": adapter folder, "config": {...}}: makes an adapter with numbers that are not zero and saves it; answers
    {"logits"} of the model that was saved.
OUT.json becomes the list of the answers.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification


def logits(model, batch):
    model.eval()
    with torch.no_grad():
        out = model(input_ids=torch.tensor(batch["ids"]), attention_mask=torch.tensor(batch["mask"])).logits
    return out.double().tolist()


def read(base, job, batch):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(base, job["read"])
    # PEFT only warns of tensors that it does not find. With bias="all" it looks for biases of modules that
    # modules_to_save has replaced, which nothing uses.
    for warning in map(str, (caught.message for caught in caught)):
        named = [word.strip("[]'\",. ") for word in warning.split() if "base_model.model" in word]
        if any("original_module" not in name for name in named) or "unexpected" in warning.lower():
            sys.exit(f"{job['read']}: {warning}")
    answer = {"logits": logits(model, batch)}
    answer["merged"] = logits(model.merge_and_unload(), batch)
    return answer


def write(base, job, batch):
    torch.manual_seed(7)
    model = get_peft_model(base, LoraConfig(**job["config"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                noise = torch.randn_like(parameter)
                if "magnitude" in name or "lora_" not in name:
                    parameter.mul_(1 + 0.3 * noise)
                else:
                    parameter.copy_(0.3 * noise)
    model.save_pretrained(job["write"])
    return {"logits": logits(model, batch)}


def main() -> None:
    source, out = map(Path, sys.argv[1:])
    batch = json.loads(source.read_text())
    answers = []
    for job in batch["jobs"]:
        base = AutoModelForSequenceClassification.from_pretrained(batch["base"], num_labels=job.get("labels", 2))
        answers.append((read if "read" in job else write)(base, job, batch))
    out.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
