"""Times transformers in f32 and under autocast to bf16, on request, so that its rounds take turns with ours.

Usage: python half_bench.py THREADS BERT DECODER

Reads lines `bert|decoder f32|autocast` from standard input and answers each with the seconds that a training step took
(loss, gradients, fused AdamW) and those of the processor.
"""

import os
import sys
import time

import torch
import transformers


def main() -> None:
    threads, bert, decoder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    models = {
        "bert": transformers.AutoModelForSequenceClassification.from_pretrained(bert, num_labels=2),
        "decoder": transformers.AutoModelForCausalLM.from_pretrained(decoder, dtype=torch.float32),
    }
    optimizers = {}
    for name, model in models.items():
        model.train()
        optimizers[name] = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    rows, columns = torch.arange(32)[:, None], torch.arange(64)[None]
    sentences = 1000 + (rows * 7919 + columns * 104_729) % 20_000
    batches = {
        "bert": {
            "input_ids": sentences,
            "attention_mask": torch.ones_like(sentences),
            "labels": torch.arange(32) % 2,
        },
    }
    ids = torch.arange(4 * 128).reshape(4, 128) * 7919 % models["decoder"].config.vocab_size
    batches["decoder"] = {"input_ids": ids, "labels": ids}
    for line in sys.stdin:
        name, dtype = line.split()
        start, before = time.perf_counter(), os.times()
        optimizers[name].zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "autocast"):
            loss = models[name](**batches[name]).loss
        loss.backward()
        optimizers[name].step()
        after = os.times()
        used = after.user + after.system - before.user - before.system
        print(time.perf_counter() - start, used, flush=True)


if __name__ == "__main__":
    main()
