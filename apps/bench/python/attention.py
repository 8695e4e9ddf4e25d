"""Times attention in PyTorch: exact attention, and the algorithm of the original trim-transformer.

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


OPERATIONS = {"exact": exact, "trim": trim, "chunked": chunked}


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
            growth = (case["length"] / length) ** (2 if case["op"] == "exact" else 1)
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
