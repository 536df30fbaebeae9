"""Writes tests/golden/replay.json: what the Python package `grades` measures and freezes on a tiny Llama.

Usage: python replay.py

No test runs it; the file that is kept came from Python 3.11 with torch 2.11.0, transformers 5.23.0, accelerate 1.15.0
(which transformers' Trainer needs) and grades 1.0.6, on a CPU. The last two are no requirement of this project: install
them with `pip install --no-deps grades==1.0.6 accelerate==1.15.0 psutil` into a virtual environment of their own that
also has the rest.

Each run trains the same random Llama (2 blocks, 14 matrices) on random tokens with transformers' Trainer, AdamW and a
cosine schedule, from one seed, and has the package's callback watch it. Written are, per run:

    steps, options  the planned optimizer steps and what the callback was configured with
    checks          the steps at which it measured, up to the last one of the run
    components      per matrix, by the name of its parameter:
        shape       of the parameter
        measured    what the package took for the L1 norm of the change, check by check until it froze the matrix
        true        that norm at all checks, in double precision, from copies that this script keeps; before the first
                    check there is the untrained model
        frozen_at   the step at which the package froze it, or null
    stopped_at      the last step of the run

The package freezes no matrix in the run "bare", whose threshold is out of reach; as all runs are the same until a
matrix freezes, its values are what the others would have measured had they frozen nothing.
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import accelerate
import torch
import transformers
from grades import GradEarlyStoppingCallback, GradEarlyStoppingConfig
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "replay.json"
STEPS = 60
SEED = 7

RUNS = {
    # Out of reach: the first comparison gives 0, but it comes long before the grace period is over.
    "bare": {"tau": 1e-12, "alpha": 0.3, "compute_interval": 1},
    # No check falls onto step 18, the last one of the grace period.
    "progressive": {"tau": 0.6, "alpha": 0.3, "compute_interval": 4},
    # Step 18 is checked, and some matrices are below tau there.
    "boundary": {"tau": 0.2, "alpha": 0.3, "compute_interval": 1},
    # The run is to end once half of the matrices are frozen.
    "half": {"tau": 0.2, "alpha": 0.3, "compute_interval": 1, "max_frozen_ratio": 0.5},
    # The first comparison comes when there is no grace period, or when it is over.
    "no-grace": {"tau": 0.2, "alpha": 0.0, "compute_interval": 1},
    "long-interval": {"tau": 0.6, "alpha": 0.1, "compute_interval": 10},
}


class Witness(TrainerCallback):
    """Measures the changes of all tracked matrices, on its own."""

    def __init__(self, interval):
        self.interval = interval
        self.copies = {}
        self.true = {}
        self.checks = []
        self.last = 0

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        for name, parameter in model.named_parameters():
            if name.endswith("_proj.weight"):
                self.copies[name] = parameter.detach().double().clone()
                self.true[name] = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.last = state.global_step
        if state.global_step % self.interval:
            return
        self.checks.append(state.global_step)
        parameters = dict(model.named_parameters())
        for name, copy in self.copies.items():
            now = parameters[name].detach().double()
            self.true[name].append((now - copy).abs().sum().item())
            copy.copy_(now)


def tiny_llama():
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=16,
        )
    )


def examples():
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.randint(0, 64, (32, 8), generator=generator)
    return [{"input_ids": row, "labels": row} for row in rows]


def key_of(name):
    """The package's name of a matrix: model.layers.0.self_attn.q_proj.weight is layer_00_attn_q_proj."""
    _, _, layer, block, matrix, _ = name.split(".")
    return f"layer_{int(layer):02d}_{block.removeprefix('self_')}_{matrix}"


def run(options):
    callback = GradEarlyStoppingCallback(GradEarlyStoppingConfig(**options, use_cuda_acceleration=False))
    witness = Witness(options["compute_interval"])
    model = tiny_llama()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=STEPS,
            per_device_train_batch_size=8,
            learning_rate=1e-3,
            lr_scheduler_type="cosine",
            weight_decay=0.01,
            seed=SEED,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=examples(), callbacks=[callback, witness])
        trainer.train()
    shapes = {name: list(parameter.shape) for name, parameter in model.named_parameters()}
    components = {}
    for name, true in witness.true.items():
        stats = callback.component_stats[key_of(name)]
        components[name] = {
            "shape": shapes[name],
            "measured": [change for _, change in stats.change_history],
            "true": true,
            "frozen_at": stats.frozen_at_step,
        }
        assert [step for step, _ in stats.change_history] == witness.checks[: len(stats.change_history)]
    assert len(components) == len(callback.component_stats)
    return {
        "steps": STEPS,
        "options": options,
        "checks": witness.checks,
        "components": components,
        "stopped_at": witness.last,
    }


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    made_by = {
        "python": ".".join(map(str, sys.version_info[:2])),
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "accelerate": accelerate.__version__,
        "grades": version("grades"),
    }
    runs = ",\n".join(f'"{name}": {json.dumps(run(options))}' for name, options in RUNS.items())
    OUT.write_text(f'{{"made_by": {json.dumps(made_by)}, "runs": {{\n{runs}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
