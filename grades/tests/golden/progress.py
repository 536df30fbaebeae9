"""Writes progress.json: the statistic `progress` from the state of PyTorch's optimizers.

Run it with PyTorch 2.11 from this directory: python progress.py

Parameters, gradients, options and "misses" are those of optim.py. Before each step, for every parameter that was
updated before, with the gradient g of the step:

    Adam, AdamW  lr * sum(g * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)), t updates so far;
                 with amsgrad v is the maximum
    SGD          lr * sum(g * buffer), with a momentum

all in f64 from the state as PyTorch stores it. "size" is the same sum over absolute values. None stands for a parameter
without a gradient or without an update before. A clip by norm changes what the optimizer takes in and not g: "clipped"
runs multiply the gradients by 1/4 before the update.
"""

import json

import torch
from optim import CASES, KINDS, SHAPES, values

STEPS = 6
WITHOUT_MOMENTUM = ("sgd", "sgd-decay")


def direction(optimizer, parameter):
    state = optimizer.state.get(parameter, {})
    group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
    if "momentum_buffer" in state:
        return group["lr"], state["momentum_buffer"].double()
    if "exp_avg" not in state:
        return None
    steps = float(state["step"])
    beta1, beta2 = group["betas"]
    square = state["max_exp_avg_sq"] if group["amsgrad"] else state["exp_avg_sq"]
    denominator = (square.double() / (1 - beta2**steps)).sqrt() + group["eps"]
    return group["lr"], state["exp_avg"].double() / (1 - beta1**steps) / denominator


def run(optimizer, options, kind, misses, factor):
    parameters = {
        name: values(shape, kind, lambda i: (((3 * i + k) % 11) - 5) / 8).requires_grad_()
        for k, (name, shape) in enumerate(SHAPES.items())
    }
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    fused = kind is torch.bfloat16 and optimizer != "sgd"
    built = make([{"params": [p]} for p in parameters.values()], lr=0.05, **options, foreach=False, fused=fused)
    steps = []
    for t in range(STEPS):
        found = {}
        for k, (name, parameter) in enumerate(parameters.items()):
            gradient = values(SHAPES[name], kind, lambda i: (((7 * i + 3 * t + 5 * k) % 17) - 8) / 16)
            missing = misses and k == 1 and t % 3 == 0
            parameter.grad = None if missing else gradient * factor
            before = direction(built, parameter)
            if missing or before is None:
                found[name] = None
                continue
            lr, along = before
            products = lr * gradient.double() * along
            found[name] = {"value": float(products.sum()), "size": float(products.abs().sum())}
        steps.append(found)
        built.step()
    return steps


def main():
    cases = []
    for name, (optimizer, options) in CASES.items():
        if name in WITHOUT_MOMENTUM:
            continue
        for variant, misses, factor in [("plain", False, 1), ("misses", True, 1), ("clipped", False, 0.25)]:
            for kind_name, kind in KINDS.items():
                if kind_name == "bf16" and variant != "plain":
                    continue
                cases.append(
                    {
                        "name": f"{name} {variant} {kind_name}",
                        "optimizer": optimizer,
                        "options": options,
                        "kind": kind_name,
                        "misses": misses,
                        "factor": factor,
                        "steps": run(optimizer, options, kind, misses, factor),
                    }
                )
    lines = ",\n".join(json.dumps(case) for case in cases)
    with open("progress.json", "w", encoding="utf-8") as file:
        file.write(f'{{"torch": "{torch.__version__.split("+")[0]}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
