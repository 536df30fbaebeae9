"""PyTorch's side of `make bench`: answers one timing request a line with milliseconds.

Started by tests/benches/speed. A request is JSON: {"do": "adamw", "kind": "f32"} times one step of an optimizer over
as many matrices as the Rust side has; {"do": "train", "frozen": [names]} one training step of MiniLM. What a request
needs is made when it is first asked for, and kept.
"""

import json
import sys
import time
import warnings

import torch

warnings.filterwarnings("ignore")
KINDS = {"f32": torch.float32, "bf16": torch.bfloat16}
OPTIMIZERS = {
    "adamw": lambda params: torch.optim.AdamW(params, lr=1e-5, weight_decay=0.01, fused=True),
    "adam": lambda params: torch.optim.Adam(params, lr=1e-5, fused=True),
    "sgd": lambda params: torch.optim.SGD(params, lr=1e-5, momentum=0.9, fused=True),
}


class Updates:
    def __init__(self, request):
        torch.manual_seed(1)
        kind, size = KINDS[request["kind"]], request["size"]
        self.params = [torch.randn(size, size).mul(0.02).to(kind).requires_grad_() for _ in range(request["count"])]
        for param in self.params:
            param.grad = torch.randn(size, size).mul(1e-3).to(kind)
        self.optimizer = OPTIMIZERS[request["do"]](self.params)

    def step(self, _):
        self.optimizer.step()


class Train:
    """MiniLM with its classifier, a fused AdamW, one batch."""

    def __init__(self, request):
        from transformers import BertForSequenceClassification
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        torch.manual_seed(1)
        self.model = BertForSequenceClassification.from_pretrained(request["model"], num_labels=2).train()
        self.ids = torch.tensor(request["ids"])
        self.mask = torch.ones_like(self.ids)
        self.labels = torch.tensor([row % 2 for row in range(len(request["ids"]))])
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, weight_decay=0.01, fused=True)

    def step(self, request):
        frozen = set(request["frozen"])
        for name, param in self.model.named_parameters():
            param.requires_grad_(name not in frozen)
        self.optimizer.zero_grad()
        start = time.perf_counter()
        logits = self.model(input_ids=self.ids, attention_mask=self.mask).logits
        torch.nn.functional.cross_entropy(logits, self.labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return time.perf_counter() - start


def main():
    torch.set_num_threads(int(sys.argv[1]))
    made = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = (request["do"], request.get("kind"))
        if key not in made:
            made[key] = (Train if request["do"] == "train" else Updates)(request)
        start = time.perf_counter()
        took = made[key].step(request)
        took = time.perf_counter() - start if took is None else took
        print(took * 1e3, flush=True)


main()
