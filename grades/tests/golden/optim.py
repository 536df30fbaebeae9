"""Writes optim.json: what PyTorch's optimizers make of two small parameters with gradients in closed form.

Run it with PyTorch 2.11 from this directory: python optim.py

Parameter k (0: a.weight, 3 x 5; 1: b.bias, 7), element i, step t (from 0), all exact in every kind:

    initial value  (((3 i + k) mod 11) - 5) / 8
    gradient       (((7 i + 3 t + 5 k) mod 17) - 8) / 16

With "misses", b.bias has no gradient in steps where t mod 3 = 0, the first one included. With "groups", b.bias is in
group 1, which has its own learning rate and weight decay. All numbers come from the single-tensor implementation, but
for Adam in bf16, which comes from the fused one: it computes in f32 and rounds once. (The fused SGD of the CPU is wrong
in half precision, pytorch/pytorch#191763.) The coupled decay of Adam is a power of two, so that sums of gradient and
decay that cancel are exactly zero: Adam would blow up what is left of them by rounding.
"""

import json

import torch

SHAPES = {"a.weight": (3, 5), "b.bias": (7,)}
KINDS = {"f32": torch.float32, "f64": torch.float64, "bf16": torch.bfloat16}
RECORDED = (1, 2, 10)

CASES = {
    "adam": ("adam", {}),
    "adam-decay": ("adam", {"weight_decay": 0.125, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adam-amsgrad": ("adam", {"amsgrad": True, "betas": (0.5, 0.6)}),
    "adamw": ("adamw", {"weight_decay": 0.01}),
    "adamw-amsgrad": ("adamw", {"weight_decay": 0.2, "amsgrad": True, "betas": (0.5, 0.6)}),
    "sgd": ("sgd", {}),
    "sgd-decay": ("sgd", {"weight_decay": 0.1}),
    "sgd-momentum": ("sgd", {"momentum": 0.9, "weight_decay": 0.01}),
    "sgd-dampening": ("sgd", {"momentum": 0.9, "dampening": 0.5}),
    "sgd-nesterov": ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
}
VARIANTS = {"plain": (False, False), "misses": (True, False), "groups": (False, True), "both": (True, True)}


def values(shape, kind, formula):
    count = torch.Size(shape).numel()
    return torch.tensor([formula(i) for i in range(count)], dtype=torch.float64).to(kind).reshape(shape)


def run(optimizer, options, kind, misses, groups):
    parameters = {
        name: values(shape, kind, lambda i: (((3 * i + k) % 11) - 5) / 8).requires_grad_()
        for k, (name, shape) in enumerate(SHAPES.items())
    }
    options = {"lr": 0.05, **options}
    listed = [{"params": [p]} for p in parameters.values()]
    if groups:
        listed[1].update(lr=0.01, weight_decay=0.3)
    make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    built = make(listed, **options, foreach=False, fused=kind is torch.bfloat16 and optimizer != "sgd")

    recorded = {}
    for t in range(max(RECORDED)):
        for k, (name, parameter) in enumerate(parameters.items()):
            gradient = values(SHAPES[name], kind, lambda i: (((7 * i + 3 * t + 5 * k) % 17) - 8) / 16)
            parameter.grad = None if misses and k == 1 and t % 3 == 0 else gradient
        built.step()
        if t + 1 in RECORDED:
            recorded[str(t + 1)] = {
                name: [float(x) for x in parameter.detach().double().flatten()]
                for name, parameter in parameters.items()
            }
    return recorded


def main():
    cases = []
    for name, (optimizer, options) in CASES.items():
        for variant, (misses, groups) in VARIANTS.items():
            for kind_name, kind in KINDS.items():
                if kind_name == "bf16" and variant != "both" or kind_name == "f64" and variant == "groups":
                    continue
                cases.append(
                    {
                        "name": f"{name} {variant} {kind_name}",
                        "optimizer": optimizer,
                        "options": options,
                        "kind": kind_name,
                        "misses": misses,
                        "groups": groups,
                        "parameters": run(optimizer, options, kind, misses, groups),
                    }
                )
    lines = ",\n".join(json.dumps(case) for case in cases)
    with open("optim.json", "w", encoding="utf-8") as file:
        file.write(f'{{"torch": "{torch.__version__.split("+")[0]}", "cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
