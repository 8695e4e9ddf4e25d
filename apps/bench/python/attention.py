"""Times attention in PyTorch: exact attention, and the algorithms of the original packages.

Called by `pnpm bench attention --python PATH`. Takes one JSON argument
{"threads", "heads", "dim", "cases": [{"op", "length", "backward"}], "rounds", "seconds"}. Prints one
JSON line {"settings"}, then one a case: {"op", "length", "backward"} with {"milliseconds", "fastest",
"slowest"} or {"error"}.
"""

import json
import math
import sys
import time

import torch

# Seconds after which a case has had enough rounds, and a single run is enough for all of them.
PATIENCE = 3.0
FEWEST_ROUNDS = 3
# Seconds that a single run may be expected to take.
LONGEST = 10.0


def exact(q, k, v):
    """Softmax attention, causal."""
    if hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    n = q.shape[-2]
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    visible = torch.ones(n, n, dtype=torch.bool).tril()
    return scores.masked_fill(~visible, float("-inf")).softmax(-1) @ v


def trim(q, k, v):
    """Cumulative linear attention as the original computes it: the store of every token at once."""
    store = torch.einsum("...nd,...ne->...nde", k, v).cumsum(dim=-3)
    return torch.einsum("...nd,...nde->...ne", q, store) / math.sqrt(q.shape[-1])


def chunked(q, k, v, size=64):
    """The same result in chunks: how one would write it in PyTorch for speed."""
    *lead, n, d = q.shape
    q, k, v = (x.reshape(*lead, n // size, size, -1) for x in (q, k, v))
    states = (k.transpose(-1, -2) @ v).cumsum(dim=-3)
    before = torch.cat([torch.zeros_like(states[..., :1, :, :]), states[..., :-1, :, :]], dim=-3)
    inner = (q @ k.transpose(-1, -2)).tril() @ v
    return (q @ before + inner).reshape(*lead, n, -1) / math.sqrt(d)


class KernelAttention(torch.autograd.Function):
    """Attention whose weights are products of features, a chunk of queries at a time, as srf-attention does:
    nothing quadratic is kept, but everything quadratic is computed."""

    @staticmethod
    def forward(ctx, q, k, v, size):
        n = q.shape[-2]
        places = torch.arange(n)
        outputs, sums = [], []
        for start in range(0, n, size):
            scores = q[..., start : start + size, :] @ k.transpose(-1, -2)
            scores = scores * (places[start : start + size, None] >= places)
            sums.append(scores.sum(-1, keepdim=True))
            outputs.append(scores @ v)
        sums = torch.cat(sums, dim=-2)
        output = torch.cat(outputs, dim=-2) / sums
        ctx.save_for_backward(q, k, v, output, sums)
        ctx.size = size
        return output

    @staticmethod
    def backward(ctx, cotangent):
        q, k, v, output, sums = ctx.saved_tensors
        n, size = q.shape[-2], ctx.size
        places = torch.arange(n)
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        delta = (cotangent * output).sum(-1, keepdim=True)
        for start in range(0, n, size):
            part = (..., slice(start, start + size), slice(None))
            visible = places[start : start + size, None] >= places
            scores = q[part] @ k.transpose(-1, -2) / sums[part] * visible
            dscores = (cotangent[part] @ v.transpose(-1, -2) - delta[part]) / sums[part] * visible
            dv += scores.transpose(-1, -2) @ cotangent[part]
            dq[part] = dscores @ k
            dk += dscores.transpose(-1, -2) @ q[part]
        return dq, dk, dv, None


def srf(q, k, v, size=256, epsilon=1e-4):
    """Random feature attention as the original computes it, with as many features as sizes."""
    d = q.shape[-1]
    generator = torch.Generator().manual_seed(0)
    projection = torch.linalg.qr(torch.randn(d, d, generator=generator))[0] * math.sqrt(d)

    def features(x, axes):
        x = x * d**-0.25
        projected = x @ projection.T
        norm = x.square().sum(-1, keepdim=True) / 2
        return d**-0.5 * (torch.exp(projected - norm - projected.detach().amax(axes, keepdim=True)) + epsilon)

    return KernelAttention.apply(features(q, -1), features(k, (-1, -2)), v, size)


def linear(q, k, v, size=64):
    """The linear attention transformer's causal attention with its blind spot of a bucket."""
    *lead, n, d = q.shape
    q, k = q.softmax(-1) * d**-0.5, k.exp()
    q, k, v = (x.reshape(*lead, n // size, size, -1) for x in (q, k, v))

    def before(x, dim):
        x = x.cumsum(dim)
        return torch.cat([torch.zeros_like(x.narrow(dim, 0, 1)), x.narrow(dim, 0, x.shape[dim] - 1)], dim)

    keys = before(k.sum(-2), -2)
    store = before(k.transpose(-1, -2) @ v, -3)
    share = 1 / (q @ keys.unsqueeze(-1)).clamp(min=1e-3)
    return (q @ store * share).reshape(*lead, n, -1)


def thinformer(q, k, v, g=2, delta=0.5):
    """Attention over a coreset of the keys, chosen by kernel halving; every query sees every key."""
    *lead, n, d = k.shape
    rounds = round(math.log(n, 4)) - g
    keys, values = k.detach() * d**-0.25, v.detach()
    shift = keys.square().sum(-1).amax(-1)[..., None, None, None]
    bound = values.abs().amax((-1, -2))[..., None, None, None] ** 2
    chosen = torch.arange(n).expand(*lead, n)
    size = 4 ** (g + 1)
    probability = delta / (size * max(rounds, 1) * n)
    for _ in range(rounds):
        chosen = chosen.reshape(*lead, -1, size)
        index = chosen.reshape(*lead, -1, 1)
        own = [x.gather(-2, index.expand(*lead, -1, d)).reshape(*lead, -1, size, d) for x in (keys, values)]
        kernel = torch.exp(own[0] @ own[0].transpose(-1, -2) - shift) * (own[1] @ own[1].transpose(-1, -2) + bound)
        half = kernel[..., 0::2, :] - kernel[..., 1::2, :]
        pairs = half[..., 0::2] - half[..., 1::2]
        length = pairs.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
        limit = length * length.cummax(-1)[0]
        width = 0.5 + math.log(2 * size / (probability * size**2))
        draws = (2 * torch.rand(limit.shape) - 1) * width * limit
        sums = pairs[..., 0, :].clone()
        swaps = torch.zeros(limit.shape, dtype=torch.bool)
        for i in range(1, size // 2):
            swaps[..., i] = draws[..., i] <= sums[..., i]
            sums += torch.where(swaps[..., i, None], -pairs[..., i, :], pairs[..., i, :])
        swaps ^= torch.rand(1) < 0.5
        chosen = chosen.reshape(*lead, -1, size // 2, 2).gather(-1, swaps.long()[..., None]).reshape(*lead, -1)
        size *= 2
    index = chosen.reshape(*lead, -1, 1).expand(*lead, -1, d)
    k, v = k.gather(-2, index), v.gather(-2, index)
    return (q @ k.transpose(-1, -2) / math.sqrt(d)).softmax(-1) @ v


OPERATIONS = {
    "exact": exact,
    "trim": trim,
    "chunked": chunked,
    "srf": srf,
    "linear": linear,
    "thinformer": thinformer,
}
# Time grows with the square of the length.
QUADRATIC = ("exact", "srf")


def run_case(case, heads, dim, rounds, seconds):
    torch.manual_seed(0)
    shape = (1, heads, case["length"], dim)
    q, k, v = (torch.randn(shape, requires_grad=case["backward"]) for _ in range(3))
    operation = OPERATIONS[case["op"]]

    def once():
        if case["backward"]:
            operation(q, k, v).sum().backward()
            q.grad = k.grad = v.grad = None
        else:
            with torch.no_grad():
                operation(q, k, v)

    start = time.perf_counter()
    once()
    first = time.perf_counter() - start
    if first < PATIENCE:
        start = time.perf_counter()
        once()
        first = time.perf_counter() - start
    runs = max(1, int(seconds / max(first, 1e-9)))
    times = []
    begun = time.perf_counter()
    for i in range(rounds if first < PATIENCE else 1):
        if i >= FEWEST_ROUNDS and time.perf_counter() - begun > PATIENCE:
            break
        start = time.perf_counter()
        for _ in range(runs):
            once()
        times.append(1000 * (time.perf_counter() - start) / runs)
    times.sort()
    return {"milliseconds": times[len(times) // 2], "fastest": times[0], "slowest": times[-1]}


def limit_memory():
    """Lets what does not fit raise an error, where the system would end the process."""
    try:
        import resource

        with open("/proc/meminfo") as lines:
            free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        resource.setrlimit(resource.RLIMIT_AS, (free * 1024, free * 1024))
    except (ImportError, OSError, StopIteration, ValueError):
        pass


def settings():
    """The version, and how fast products are: that depends on the library torch was built with."""
    a = torch.randn(512, 512)
    a @ a
    start = time.perf_counter()
    for _ in range(5):
        a @ a
    gflops = 5 * 2 * 512**3 / (time.perf_counter() - start) / 1e9
    return f"{torch.__version__}, {torch.get_num_threads()} threads, 512³ products at {gflops:.0f} GFLOPS"


def main():
    request = json.loads(sys.argv[1])
    torch.set_num_threads(request["threads"])
    limit_memory()
    print(json.dumps({"settings": settings()}), flush=True)
    known = {}
    for case in request["cases"]:
        kind = (case["op"], case["backward"])
        if kind in known:
            length, milliseconds = known[kind]
            growth = (case["length"] / length) ** (2 if case["op"] in QUADRATIC else 1)
            if milliseconds * growth > 1000 * LONGEST:
                error = f"left out, a single run would take about {milliseconds * growth / 1000:.0f} s"
                print(json.dumps({**case, "error": error}), flush=True)
                continue
        try:
            result = run_case(case, request["heads"], request["dim"], request["rounds"], request["seconds"])
            known[kind] = (case["length"], result["milliseconds"])
        except (RuntimeError, MemoryError) as error:
            result = {"error": str(error).splitlines()[0]}
        print(json.dumps({**case, **result}), flush=True)


main()
