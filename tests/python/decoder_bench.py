"""Times transformers with a Llama, on request, so that its rounds take turns with ours.

Usage: python decoder_bench.py DIR THREADS

Reads words from standard input and answers each with the seconds that it took: `load` (from_pretrained), `step` (a
training step: loss, gradients, fused AdamW).
"""

import sys
import time

import torch
import transformers


def main() -> None:
    folder, threads = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    load = lambda: transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = load()
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ids = torch.arange(4 * 128).reshape(4, 128) * 7919 % model.config.vocab_size
    for line in sys.stdin:
        start = time.perf_counter()
        if line.strip() == "load":
            load()
        else:
            optimizer.zero_grad()
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
