"""Times forward and backward of PEFT's adapted linear layer; the other side of tests/benches/lora.rs.

Usage: python lora_bench.py THREADS

Each line of standard input is "KIND INPUTS OUTPUTS ROWS RANK" with KIND lora or dora; the answer is a line with the
seconds of one forward and backward pass. The layer of a line is made when it is first asked for.
"""

import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from torch import nn


def make(kind, inputs, outputs, rows, rank):
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["0"], use_dora=kind == "dora")
    model = get_peft_model(nn.Sequential(nn.Linear(inputs, outputs)), config)
    model.train()
    layer = model.base_model.model[0]
    nn.init.normal_(layer.lora_B["default"].weight)
    x = torch.randn(rows, inputs, requires_grad=True)
    return layer, x, torch.randn(rows, outputs)


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(1)
    layers = {}
    print("ready", flush=True)
    for line in sys.stdin:
        if line not in layers:
            kind, *sizes = line.split()
            layers[line] = make(kind, *map(int, sizes))
        layer, x, weights = layers[line]
        x.grad = None
        for parameter in layer.parameters():
            parameter.grad = None
        start = time.perf_counter()
        # With the product and the sum that the other side needs, for tch's backward takes no gradient.
        (layer(x) * weights).sum().backward()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
