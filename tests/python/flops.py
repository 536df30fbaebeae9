"""Counts the FLOPs of training steps and of answers with PyTorch's FlopCounterMode.

usage: flops.py QUESTION.json ANSWER.json

QUESTION is a list of cases: "model" is a directory, "class" a class of transformers, "rows" and "length" the shape of
the batch, "frozen" a list of strings (a parameter is frozen when its name has one of them), "lora" null or a
configuration for PEFT, "checkpointing" whether blocks are computed twice, "answers" how many tokens are generated
instead of training, or 0. ANSWER has for each the FLOPs of the forward and of the backward pass; of answers those of
all passes are "forward".

Attention is eager, so that its products are seen: PyTorch counts nothing for the fused kernel of the CPU. The rotation of
a decoder, which transformers makes by a product of outer dimensions 1 and which we make by multiplying, is left out.
"""

import json
import sys

import torch
import transformers
from torch.utils.checkpoint import set_checkpoint_early_stop
from torch.utils.flop_counter import FlopCounterMode


def rotation(counter):
    modules = counter.get_flop_counts().items()
    return sum(sum(counts.values()) for module, counts in modules if module.endswith("rotary_emb"))


def measure(case):
    torch.manual_seed(0)
    model = getattr(transformers, case["class"]).from_pretrained(case["model"], attn_implementation="eager")
    if case["lora"] is not None:
        import peft

        model = peft.get_peft_model(model, peft.LoraConfig(**case["lora"]))
    for name, parameter in model.named_parameters():
        if any(part in name for part in case["frozen"]):
            parameter.requires_grad_(False)
    model.train()
    if case["checkpointing"]:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        # It makes what goes into the first block need a gradient, whether anything before trains or not.
        model.disable_input_require_grads()
    ids = torch.randint(4, 40, (case["rows"], case["length"]))
    if "Classification" in case["class"]:
        labels = torch.zeros(case["rows"], dtype=torch.long)
    else:
        labels = ids.clone()
    counter = FlopCounterMode(display=False)
    tokens = case["answers"]
    if tokens:
        model.eval()
        with counter:
            mask = torch.ones_like(ids)
            model.generate(ids, attention_mask=mask, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens)
        return {"forward": counter.get_total_flops() - rotation(counter), "backward": 0}
    # Without it a recomputation ends before products whose results nobody asks for.
    with set_checkpoint_early_stop(False), counter:
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        forward = counter.get_total_flops()
        if loss.requires_grad:
            loss.backward()
    return {"forward": forward - rotation(counter), "backward": counter.get_total_flops() - forward}


def main():
    question, answer = sys.argv[1:]
    with open(question, encoding="utf-8") as file:
        cases = json.load(file)
    with open(answer, "w", encoding="utf-8") as file:
        json.dump([measure(case) for case in cases], file)


if __name__ == "__main__":
    main()
