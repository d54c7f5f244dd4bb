"""How long a server takes to say how many people an expression selects that is not saved.

    segment_estimates.py PROJECT [--estimates 300] [--segments 1000] [--seed 2] [--tessera target/release/tessera] [--json FILE]

The expressions are made like the saved segments, with another seed, so that some of their parts are known and others are
not; combinations name saved segments only. First as many others are asked, so that what is measured is warm. One call at a
time, over gRPC. Needs grpcio and grpcio-reflection.
"""

import argparse
import datetime
import json
import pathlib
import random
import re
import statistics
import subprocess
import sys
import time

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "peers" / "segments"))

from generate import generate

METHOD = "EstimateSegment"


def estimator(address):
    """A function that asks the server for the size of an expression."""
    channel = grpc.insecure_channel(address)
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName("tessera.v1.SegmentService").FindMethodByName(METHOD)
    asked, answered = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    call = channel.unary_unary(f"/tessera.v1.SegmentService/{METHOD}", asked.SerializeToString, answered.FromString)
    return lambda expression: call(asked(expression=expression), timeout=60).size


def combinations(count, segments, seed):
    """Expressions of saved segments only."""
    dice = random.Random(seed)
    forms = ("{} and {}", "{} or {}", "{} and not {}", "({} or {}) and {}", "{} and not ({} or {})")
    name = lambda: f"in_segment('{dice.choice(segments).name}')"
    return [form.format(*(name() for _ in range(form.count("{}")))) for form in (dice.choice(forms) for _ in range(count))]


def measure(estimate, expressions):
    """Milliseconds of each call, with its expression, the slowest first."""
    took = []
    for expression in expressions:
        start = time.perf_counter()
        estimate(expression)
        took.append(((time.perf_counter() - start) * 1000, expression))
    return sorted(took, reverse=True)


def summary(took):
    milliseconds = sorted(ms for ms, _ in took)
    place = lambda share: milliseconds[min(len(milliseconds) - 1, round(share * (len(milliseconds) - 1)))]
    return {"median": statistics.median(milliseconds), "p90": place(0.9), "p99": place(0.99), "slowest": milliseconds[-1]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=pathlib.Path)
    parser.add_argument("--estimates", type=int, default=300)
    parser.add_argument("--segments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--tessera", default=str(pathlib.Path(__file__).resolve().parent.parent / "target/release/tessera"))
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    today = datetime.datetime.now(datetime.UTC).date()
    saved = generate(arguments.segments, today)
    # Those of another seed name segments of that one: they are other conditions here, and as much work.
    texts = [segment.condition.text() for segment in generate(2 * arguments.estimates, today, arguments.seed)]
    command = [arguments.tessera, "--project", str(arguments.project), "serve", "--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        estimate = estimator(re.search(r"127\.0\.0\.1:\d+", server.stdout.readline())[0])
        measure(estimate, texts[: arguments.estimates])
        took = measure(estimate, texts[arguments.estimates :])
        of_saved = measure(estimate, combinations(arguments.estimates, saved, arguments.seed))
        memory = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{server.pid}/status").read_text())
    finally:
        server.terminate()
        server.wait(60)
    found = {"expressions": summary(took), "combinations": summary(of_saved), "peak_mib": int(memory[1]) // 1024,
             "slowest": [{"ms": round(ms), "expression": text} for ms, text in took[:8]]}
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
