"""Trains the architecture of a Dragoman configuration in PyTorch and prints how fast it is.

    dragoman config CONFIG --json > config.json
    dragoman bench train CONFIG --batches batches.jsonl
    python3 pytorch_training.py config.json batches.jsonl [--device cuda] [--precision bf16] [--mode compile]

The models are built from PyTorch's own modules as its tutorials and best-practice pages advise: batched
matrices padded to the longest sentence, scaled_dot_product_attention, nn.GRU over packed sequences, fused
AdamW, without decay as Dragoman's. The batches are those that Dragoman trained on, the sentences of each
about equally long; they are on the device before the clock starts. Modes:

    eager           as it stands
    compile         torch.compile
    reduce-overhead torch.compile with CUDA graphs of forward and of backward
    graph           a CUDA graph of a whole step, compiled; for batches of one shape
    eager-graph     the same, not compiled

Prints one JSON object. Only what the configurations in configs/ ask for is there; anything else is refused.
"""

import argparse
import json
import math
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

PAD = -1
SHORTEST_PASS = 0.3  # seconds, as in Dragoman: a fast device comes to its speed only after a while
MODES = ["eager", "compile", "reduce-overhead", "graph", "eager-graph"]


def sinusoids(length, dim):
    half = dim // 2
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(half)[None] / half)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """Multi-head attention of x to itself (memory is None) or to a memory."""

    def __init__(self, dim, heads, memory_dim=None):
        super().__init__()
        self.heads, self.cross = heads, memory_dim is not None
        if self.cross:
            self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(memory_dim, 2 * dim)
        else:
            self.query_key_value = nn.Linear(dim, 3 * dim)
        self.output = nn.Linear(dim, dim)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, memory=None, mask=None, causal=False):
        if self.cross:
            q, (k, v) = self.query(x), self.key_value(memory).chunk(2, -1)
        else:
            q, k, v = self.query_key_value(x).chunk(3, -1)
        y = F.scaled_dot_product_attention(
            self.split(q), self.split(k), self.split(v), attn_mask=mask, is_causal=causal
        )
        return self.output(y.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, c, memory_dim=None):
        super().__init__()
        dim = c["dim"]
        self.drop = nn.Dropout(c["dropout"])
        self.self_norm, self.self_attention = nn.LayerNorm(dim), Attention(dim, c["heads"])
        if memory_dim:
            self.cross_norm = nn.LayerNorm(dim)
            self.cross_attention = Attention(dim, c["heads"], memory_dim)
        self.ffn_norm = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, c["ffn_dim"]), nn.ReLU(), nn.Linear(c["ffn_dim"], dim))

    def forward(self, x, mask=None, causal=False, memory=None, memory_mask=None):
        x = x + self.drop(self.self_attention(self.self_norm(x), mask=mask, causal=causal))
        if memory is not None:
            x = x + self.drop(self.cross_attention(self.cross_norm(x), memory, memory_mask))
        return x + self.drop(self.ffn(self.ffn_norm(x)))


class Stack(nn.Module):
    def __init__(self, c, memory_dim=None):
        super().__init__()
        self.layers = nn.ModuleList(Layer(c, memory_dim) for _ in range(c["layers"]))
        self.norm, self.drop = nn.LayerNorm(c["dim"]), nn.Dropout(c["embedding_dropout"])
        self.register_buffer("positions", sinusoids(4096, c["dim"]), persistent=False)

    def forward(self, x, **arguments):
        x = self.drop(x + self.positions[: x.shape[1]])
        for layer in self.layers:
            x = layer(x, **arguments)
        return self.norm(x)


class Transformer(nn.Module):
    def __init__(self, c, vocabulary):
        super().__init__()
        self.scale = math.sqrt(c["encoder"]["dim"])
        self.embedding = nn.Embedding(vocabulary, c["encoder"]["dim"])
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.encoder, self.decoder = Stack(c["encoder"]), Stack(c["decoder"], c["encoder"]["dim"])

    def forward(self, source, padding, lengths, target):
        mask = None if padding is None else ~padding[:, None, None]
        embed = lambda ids: self.embedding(ids.clamp(min=0)) * self.scale
        memory = self.encoder(embed(source), mask=mask)
        # Padding stands at the end of the target, where a causal mask hides it.
        x = self.decoder(embed(target), causal=True, memory=memory, memory_mask=mask)
        return F.linear(x, self.embedding.weight, self.bias)


class Bahdanau(nn.Module):
    """A bidirectional GRU encoder; a GRU decoder with additive attention, and a maxout readout."""

    def __init__(self, c, vocabulary):
        super().__init__()
        e, d = c["encoder"], c["decoder"]
        memory = 2 * e["dim"]
        self.scale = math.sqrt(e["embedding_dim"])
        self.embedding = nn.Embedding(vocabulary, e["embedding_dim"])
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.embedding_drop = nn.Dropout(e["embedding_dropout"])
        self.drop = nn.Dropout(d["dropout"])
        self.encoder = nn.GRU(e["embedding_dim"], e["dim"], batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(memory, d["dim"])
        self.cell = nn.GRUCell(d["embedding_dim"] + memory, d["dim"])
        self.query, self.key = nn.Linear(d["dim"], d["attention_dim"]), nn.Linear(memory, d["attention_dim"])
        self.energy = nn.Linear(d["attention_dim"], 1, bias=False)
        self.readout = nn.Linear(d["dim"] + d["embedding_dim"] + memory, 2 * d["readout_dim"])

    def forward(self, source, padding, lengths, target):
        embed = lambda ids: self.embedding_drop(self.embedding(ids.clamp(min=0)) * self.scale)
        packed = pack_padded_sequence(embed(source), lengths, batch_first=True, enforce_sorted=False)
        states, last = self.encoder(packed)
        memory, _ = pad_packed_sequence(states, batch_first=True)
        memory = self.drop(memory)
        keys = self.key(memory)
        hidden = torch.tanh(self.bridge(last.transpose(0, 1).flatten(1)))
        inputs = embed(target)
        hiddens, contexts = [], []
        for step in inputs.unbind(1):
            energy = self.energy(torch.tanh(self.query(hidden)[:, None] + keys)).squeeze(-1)
            if padding is not None:
                energy = energy.masked_fill(padding, -math.inf)
            context = torch.bmm(energy.softmax(-1)[:, None].to(memory.dtype), memory).squeeze(1)
            hidden = self.cell(torch.cat([step, context], -1), hidden)
            hiddens.append(hidden)
            contexts.append(context)
        states = torch.cat([torch.stack(hiddens, 1), inputs, torch.stack(contexts, 1)], -1)
        x = self.readout(states).unflatten(-1, (-1, 2)).amax(-1)
        return F.linear(self.drop(x), self.embedding.weight, self.bias)


def build(c, vocabulary):
    kinds = c["encoder"]["type"], c["decoder"]["type"]
    if kinds == ("transformer", "transformer"):
        return Transformer(c, vocabulary)
    if kinds == ("gru", "gru") and c["decoder"]["attention"] == "additive":
        return Bahdanau(c, vocabulary)
    raise SystemExit(f"pytorch_training.py: no model for {kinds}")


def padded(sentences, device):
    return nn.utils.rnn.pad_sequence([torch.tensor(s) for s in sentences], True, PAD).to(device)


def read(path, device):
    for line in open(path):
        batch = json.loads(line)
        lengths = torch.tensor([len(s) for s in batch["source"]])  # wanted on the CPU
        source = padded(batch["source"], device)
        # Sentences of one length need no mask, and the kernels are faster without one.
        padding = source == PAD if lengths.min() < lengths.max() else None
        target = padded(batch["target_input"], device), padded(batch["target_output"], device)
        yield source, padding, lengths, *target


class Training:
    """A model with its optimiser, and `step`, which trains it on a batch."""

    def __init__(self, config, device, precision, mode):
        self.device, self.precision = device, precision
        self.model = build(config["model"], config["vocabulary"]["size"]).to(device)
        self.smoothing = config["training"]["label_smoothing"]
        whole = mode in ("graph", "eager-graph")
        # A graph replays launches: what a step reads must lie on the device.
        rate = torch.tensor(1e-4, device=device) if whole else 1e-4
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-9, weight_decay=0, fused=True,
            capturable=whole,
        )
        if mode in ("compile", "graph"):
            # On a CPU the shapes of batches differ, and each would be compiled anew.
            self.loss = torch.compile(self.loss, dynamic=True if device.type == "cpu" else None)
        elif mode == "reduce-overhead":
            self.loss = torch.compile(self.loss, mode="reduce-overhead")
        self.step = GraphedStep(self) if whole else self.train

    def loss(self, source, padding, lengths, target_input, target_output):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.model(source, padding, lengths, target_input)
            return F.cross_entropy(
                logits.flatten(0, 1), target_output.flatten(), ignore_index=PAD, label_smoothing=self.smoothing
            )

    def train(self, *batch):
        torch.compiler.cudagraph_mark_step_begin()
        loss = self.loss(*batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()


class GraphedStep:
    """Training.train as one CUDA graph, into whose batch every batch is copied."""

    def __init__(self, training):
        self.training, self.graph = training, None

    def __call__(self, *batch):
        if self.graph is None:
            self.capture(batch)
        for to, value in zip(self.batch, batch):
            if value is not None and value.is_cuda:
                if to.shape != value.shape:
                    raise SystemExit("pytorch_training.py: a graph wants batches of one shape")
                to.copy_(value)
        self.graph.replay()
        return self.loss

    def capture(self, batch):
        self.batch = [None if value is None else value.clone() for value in batch]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.training.train(*self.batch)
        torch.cuda.current_stream().wait_stream(stream)
        self.training.optimizer.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.training.train(*self.batch)


def peak_memory(device):
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", help="of dragoman config --json")
    parser.add_argument("batches")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--tf32", action="store_true", help="products of fp32 on a GPU in TF32")
    parser.add_argument("--mode", choices=MODES, default="eager")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--memory-share", type=float, default=1, help="of a GPU's memory that may be taken")
    parser.add_argument("--passes", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.tf32:
        torch.set_float32_matmul_precision("high")
    torch.manual_seed(1)
    device = torch.device(arguments.device)
    if device.type == "cpu" and arguments.mode not in ("eager", "compile"):
        parser.error(f"the mode {arguments.mode} is for a GPU")
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
        torch.cuda.set_per_process_memory_fraction(arguments.memory_share)
    config = json.load(open(arguments.config))
    batches = list(read(arguments.batches, device))
    training = Training(config, device, arguments.precision, arguments.mode)

    loss = None

    def run_pass(rounds):
        nonlocal loss
        begin = time.perf_counter()
        for _ in range(rounds):
            for batch in batches:
                loss = training.step(*batch)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begin

    shortest = run_pass(1)
    if device.type == "cuda":
        run_pass(1)  # some modes get ready twice
        shortest = run_pass(1)
    rounds = math.ceil(SHORTEST_PASS / shortest)
    seconds = statistics.median(run_pass(rounds) for _ in range(arguments.passes)) / rounds
    tokens = sum(int((output != PAD).sum()) for *_, output in batches)
    if not math.isfinite(loss.item()):
        raise SystemExit(f"pytorch_training.py: the loss is {loss.item()}: what was measured is no training")
    print(
        json.dumps(
            {
                "target_tokens_per_second": tokens / seconds,
                "loss": loss.item(),
                "peak_memory_bytes": peak_memory(device),
                "parameters": sum(p.numel() for p in training.model.parameters()),
                "precision": arguments.precision,
                "mode": arguments.mode,
                "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                "threads": torch.get_num_threads(),
                "version": torch.__version__,
            }
        )
    )


main()
