"""Writes golden.json: what PEFT 0.21.2 on torch 2.11.0 (CPU) computes for one layer, and which layers it adapts.

Usage: python grades-lora/tests/golden/golden.py

`layers`: a linear layer of 5 inputs and 4 outputs with one adapter; all numbers are formulas of their position, so
that both sides have the same. Of each case the output, the gradients of sum(output * c) and the merged weight.
`matching`: for a model of empty layers, which layers a configuration adapts, and at which rank and scaling.
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

INPUTS, OUTPUTS, ROWS, RANK, ALPHA = 5, 4, 3, 2, 6


def numbers(start, *shape):
    count = int(torch.tensor(shape).prod())
    return (torch.arange(count, dtype=torch.float64) * 1.7 + start).sin().reshape(shape).float()


def layer_case(name, kind="float32", bias=True, **options):
    model = nn.Sequential(nn.Linear(INPUTS, OUTPUTS, bias=bias)).to(getattr(torch, kind))
    with torch.no_grad():
        model[0].weight.copy_(numbers(0.1, OUTPUTS, INPUTS))
        if bias:
            model[0].bias.copy_(numbers(0.2, OUTPUTS))
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["0"], **options))
    layer = model.base_model.model[0]
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    with torch.no_grad():
        a.copy_(numbers(0.3, RANK, INPUTS))
        b.copy_(numbers(0.4, OUTPUTS, RANK))
    tensors = {"a": a, "b": b}
    if options.get("use_dora"):
        tensors["magnitude"] = layer.lora_magnitude_vector["default"].weight
        with torch.no_grad():
            tensors["magnitude"].copy_(numbers(0.5, OUTPUTS) + 2)
    x = numbers(0.6, ROWS, INPUTS).to(getattr(torch, kind)).requires_grad_()
    y = layer(x)
    (y.float() * numbers(0.7, ROWS, OUTPUTS)).sum().backward()
    case = {"name": name, "kind": kind, "bias": bias, "dora": bool(options.get("use_dora")),
            "rslora": bool(options.get("use_rslora")), "y": y.double().tolist(), "dx": x.grad.double().tolist()}
    case.update({f"d{key}": tensor.grad.double().tolist() for key, tensor in tensors.items()})
    layer.merge()
    case["merged"] = layer.base_layer.weight.double().tolist()
    return case


NAMES = ["embed", "pooler.dense", "classifier"] + [
    f"enc.layer.{i}.{part}" for i in (0, 1, 10) for part in ("att.query", "att.key", "out.dense", "experts.3.dense")
]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        for name in NAMES:
            at = self
            *parents, last = name.split(".")
            for part in parents:
                if not hasattr(at, part):
                    at.add_module(part, nn.Module())
                at = getattr(at, part)
            at.add_module(last, nn.Linear(16, 16))


CONFIGS = [
    {"target_modules": ["query"]},
    {"target_modules": ["dense"]},
    {"target_modules": ["out.dense", "pooler.dense"]},
    {"target_modules": ["uery"], "_none": True},
    {"target_modules": r".*\.(query|key)"},
    {"target_modules": r"enc\.layer\.\d+\.att\.(?!key).*"},
    {"target_modules": "layer", "_none": True},
    {"target_modules": "all-linear"},
    {"target_modules": "all-linear", "exclude_modules": ["key", "pooler.dense"]},
    {"target_modules": "all-linear", "exclude_modules": r".*\.dense"},
    {"target_modules": "all-linear", "modules_to_save": ["classifier", "pooler"]},
    {"target_modules": ["dense", "query"], "modules_to_save": ["experts"]},
    {"target_modules": ["query", "dense"], "layers_to_transform": [1, 10]},
    {"target_modules": ["query", "enc.layer.0.att.key"], "layers_to_transform": 10},
    {"target_modules": ["dense"], "layers_to_transform": [3], "layers_pattern": "experts"},
    {"target_modules": ["dense"], "layers_to_transform": [0], "layers_pattern": ["experts", "layer"]},
    {"target_modules": "all-linear", "rank_pattern": {"query": 2, "layer.1.att.query": 3, "dense": 5, "att.*": 6},
     "alpha_pattern": {"layer.1.*": 7, "key": 9, "classifier": 0.5}},
    {"target_modules": ["query", "key"], "rank_pattern": {"^enc.layer.0.*": 1, "uery": 2, "layer.10.att.key": 7},
     "use_rslora": True},
]


def match(config):
    config = dict(config)
    none = config.pop("_none", False)
    # As text: the order of a pattern's entries counts.
    record = {"config": json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 6, **config}), "layers": {}}
    try:
        model = get_peft_model(Model(), LoraConfig(r=4, lora_alpha=6, **config))
    except ValueError:
        assert none, config
        return record
    for name, module in model.base_model.model.named_modules():
        if hasattr(module, "lora_A"):
            record["layers"][name] = [module.r["default"], module.scaling["default"]]
    return record


def main():
    layers = [
        layer_case("lora"),
        layer_case("lora without bias", bias=False),
        layer_case("rslora", use_rslora=True),
        layer_case("dora", use_dora=True),
        layer_case("dora without bias", bias=False, use_dora=True),
        layer_case("dora with rslora", use_dora=True, use_rslora=True),
        layer_case("lora on bf16", kind="bfloat16"),
        layer_case("dora on f64", kind="float64", use_dora=True),
    ]
    result = {"layers": layers, "names": NAMES, "matching": [match(config) for config in CONFIGS]}
    Path(__file__).with_name("golden.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
