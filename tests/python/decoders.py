"""Small random decoders by transformers: what they compute, and what it makes of directories that we saved.

Usage: python decoders.py make SPECS.json DIR
       python decoders.py read DIR...

SPECS.json is a list of {"name", "class", "config": {…}, "dtype", "shard", "v4"}. `make` writes the model directory
DIR/name, and DIR/name.safetensors with what the model gives in f32 for the batch of DIR/batch.json
{"ids", "mask", "labels", "prompts", "new_tokens"}: `logits`, `loss`, `gradient.PARAMETER`, `answer.PROMPT`.
`read` loads directories, writes DIR/logits.safetensors for the batch in DIR/../batch.json, and fails when a tensor
is missing, unexpected or of another shape.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file


def older_form(path: Path) -> None:
    """Rewrites a configuration as transformers 4 would have written it."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    partial = rope.pop("partial_rotary_factor", None)
    if partial is not None:
        config["partial_rotary_factor"] = partial
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    config.pop("layer_types", None)
    path.write_text(json.dumps(config, indent=2))


def randomise(model: torch.nn.Module) -> None:
    """Norms that are not 1 and biases that are not 0, so that neither can be forgotten unseen."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(parameter, 1.0, 0.2)
        else:
            torch.nn.init.normal_(parameter, 0.0, 0.15)


def make(specs: Path, out: Path) -> None:
    batch = json.loads((out / "batch.json").read_text())
    ids, mask, labels = (torch.tensor(batch[key]) for key in ("ids", "mask", "labels"))
    for number, spec in enumerate(json.loads(specs.read_text())):
        torch.manual_seed(number)
        config = getattr(transformers, spec["class"] + "Config")(**spec["config"])
        model = getattr(transformers, spec["class"] + "ForCausalLM")(config)
        with torch.no_grad():
            randomise(model)
        folder = out / spec["name"]
        model.to(getattr(torch, spec["dtype"])).save_pretrained(folder, max_shard_size=spec["shard"])
        if spec["v4"]:
            older_form(folder / "config.json")
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        model.eval()
        given = model(input_ids=ids, attention_mask=mask, labels=labels)
        given.loss.backward()
        tensors = {"logits": given.logits.detach(), "loss": given.loss.detach()}
        tensors |= {f"gradient.{name}": parameter.grad for name, parameter in model.named_parameters()}
        for index, prompt in enumerate(batch["prompts"]):
            answer = model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=batch["new_tokens"],
                do_sample=False,
                pad_token_id=0,
            )
            tensors[f"answer.{index}"] = answer[0, len(prompt) :]
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, out / f"{spec['name']}.safetensors")


def read(folders: list[Path]) -> None:
    for folder in folders:
        batch = json.loads((folder.parent / "batch.json").read_text())
        ids, mask = (torch.tensor(batch[key]) for key in ("ids", "mask"))
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, output_loading_info=True
        )
        problems = {key: sorted(map(str, value)) for key, value in report.items() if value}
        if problems:
            sys.exit(f"{folder} does not load cleanly: {problems}")
        model.eval()
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
        save_file({"logits": logits.contiguous()}, folder / "logits.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(2)
    transformers.logging.set_verbosity_error()
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        read([Path(folder) for folder in sys.argv[2:]])
