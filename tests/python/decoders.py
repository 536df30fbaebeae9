"""Small random decoders by transformers: what they compute, and what it makes of directories that we saved.

Usage: python decoders.py make SPECS.json DIR
       python decoders.py read DIR...
       python decoders.py adapted BASE ADAPTER [BASE ADAPTER]...

SPECS.json is a list of {"name", "class", "config": {…}, "dtype", "shard", "v4", "own_head"}. `make` writes the model directory
DIR/name, and DIR/name.safetensors with what the model gives in f32 for the batch of DIR/batch.json
{"ids", "mask", "labels", "prompts", "new_tokens"}: `logits`, `loss`, `gradient.PARAMETER`, `answer.PROMPT`; and
`adapted`, the logits with the random adapter of all linear layers that PEFT saved in DIR/name-adapter.
`read` loads directories, writes DIR/logits.safetensors for the batch in DIR/../batch.json, and fails when a tensor
is missing, unexpected or of another shape. `adapted` does so for adapters on their bases, in ADAPTER/logits.safetensors.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
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


def tie_in_configuration(path: Path) -> None:
    """Ties the output matrix in the configuration alone, and adds a number that JSON lacks, as Python writes it."""
    config = json.loads(path.read_text())
    config |= {"tie_word_embeddings": True, "a_key_of_the_user": float("inf")}
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
        if spec["own_head"]:
            tie_in_configuration(folder / "config.json")
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
        tensors["adapted"] = adapt(model, out / f"{spec['name']}-adapter", ids, mask)
        save_file({key: value.contiguous().clone() for key, value in tensors.items()}, out / f"{spec['name']}.safetensors")


def adapt(model: torch.nn.Module, folder: Path, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Saves a random adapter, and returns the logits with it."""
    config = LoraConfig(r=3, lora_alpha=5, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, 0.0, 0.2)
        adapted.save_pretrained(folder)
        return adapted.eval()(input_ids=ids, attention_mask=mask).logits


def read_adapted(pairs: list[tuple[Path, Path]]) -> None:
    for base, folder in pairs:
        batch = json.loads((base.parent / "batch.json").read_text())
        ids, mask = (torch.tensor(batch[key]) for key in ("ids", "mask"))
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(model, folder).eval()
        # PEFT only warns of tensors that it does not find.
        missing = [str(warning.message) for warning in caught if "missing" in str(warning.message).lower()]
        if missing:
            sys.exit(f"{folder} does not load cleanly: {missing}")
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
        save_file({"logits": logits.contiguous()}, folder / "logits.safetensors")


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
    elif sys.argv[1] == "adapted":
        folders = [Path(folder) for folder in sys.argv[2:]]
        read_adapted(list(zip(folders[::2], folders[1::2], strict=True)))
    else:
        read([Path(folder) for folder in sys.argv[2:]])
