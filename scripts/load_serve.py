#!/usr/bin/env python3
"""Lets many clients use btm serve at once, and compares each answer with the one given alone.

Exit 1 for an answer that is lost or differs, for an error other than 429, and for memory that
grows. Prints the throughput of one request at a time and of all clients.
"""
import argparse
import http.client
import json
import pathlib
import random
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import served  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
WORDS = "to be or not that is the question file a whether law perl number in time of".split()


def bodies(count, tokens, positions, chance, ids=False, greedy=False):
    """Requests that differ in everything. Prompts are words, or ids that any dictionary has."""
    made = []
    for number in range(count):
        size = chance.randrange(1, positions // 8)
        prompt = " ".join(chance.choice(WORDS) for _ in range(size))
        if ids:
            prompt = [chance.randrange(4, 1000) for _ in range(size)]
        body = {"prompt": prompt, "max_tokens": tokens, "seed": number}
        body["temperature"] = chance.choice((0, 0.7, 1))
        if greedy:
            body["temperature"] = 0
        elif chance.random() < 0.3:
            body |= {"logprobs": 2, "echo": chance.random() < 0.5}
        elif chance.random() < 0.2:
            body |= {"n": 2}
        made.append(json.dumps(body))
    return made


class Client:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)

    def ask(self, body):
        """(status, the answer's bytes from its choices on)"""
        self.connection.request("POST", "/v1/completions", body)
        answer = self.connection.getresponse()
        found = answer.read()
        return answer.status, found[found.find(b'"choices"') :]


def parsed(found):
    """The choices, and how many tokens were written."""
    answer = json.loads(b"{" + found)
    return answer["choices"], answer["usage"]["completion_tokens"]


def same(a, b, exact):
    """Whether choices are equal; with exact=False numbers may differ in their last digits."""
    if exact or not isinstance(a, (list, dict, float)):
        return a == b
    if isinstance(a, float):
        return abs(a - b) < 1e-4
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], exact) for key in a)
    return len(a) == len(b) and all(same(x, y, exact) for x, y in zip(a, b))


def memory(process):
    """Resident bytes of the process."""
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024


def alone(port, made, seconds):
    """(the answers, tokens a second) of one request at a time."""
    client, answers = Client(port), []
    start, written, timed = time.monotonic(), 0, 0.0
    for body in made:
        status, found = client.ask(body)
        assert status == 200, found
        answers.append(found)
        if time.monotonic() - start < seconds:
            written, timed = written + parsed(found)[1], time.monotonic() - start
    return answers, written / max(timed, 1e-9)


def together(port, made, answers, clients, seconds, exact):
    """(problems, tokens a second, requests, refusals) of many clients."""
    problems, counts, lock = [], [0, 0, 0], threading.Lock()
    written = [parsed(answer)[1] for answer in answers]
    end = time.monotonic() + seconds

    def work(number):
        chance, client = random.Random(number), Client(port)
        while time.monotonic() < end and len(problems) < 10:
            chosen = chance.randrange(len(made))
            try:
                status, found = client.ask(made[chosen])
            except Exception as error:  # an answer is lost
                with lock:
                    problems.append(f"client {number}: {type(error).__name__}: {error}")
                return
            with lock:
                counts[0] += written[chosen] if status == 200 else 0
                counts[1] += 1
                counts[2] += status == 429
                if status not in (200, 429):
                    problems.append(f"status {status}: {found}")
                if status != 200 or found == answers[chosen]:
                    continue
                if not same(parsed(found)[0], parsed(answers[chosen])[0], exact):
                    problems.append(f"{made[chosen]}: {found}, alone {answers[chosen]}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems, counts[0] / (time.monotonic() - start), counts[1], counts[2]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", default=ROOT / "build/bin", type=pathlib.Path)
    parser.add_argument(
        "--models", default=GOLDEN / "checkpoints/elm_perl/checkpoint_last.pt", help="MODELS"
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3, help="pairs of alone and together")
    parser.add_argument("--tokens", type=int, default=32, help="written in an answer")
    parser.add_argument("--requests", type=int, default=100, help="different ones")
    parser.add_argument("--positions", type=int, default=96, help="of a prompt and its text")
    parser.add_argument("--data", help="the folder of dict.txt; prompts are ids then")
    parser.add_argument("--greedy", action="store_true", help="the most probable texts alone")
    parser.add_argument("--exact", action="store_true", help="numbers have the same bits")
    parser.add_argument("flags", nargs="*", help="of btm serve, behind --")
    args = parser.parse_args()
    flags = ["--data", args.data, "--bpe", "none"] if args.data else []
    golden = None if args.data else GOLDEN
    started = served.Server(args.bin, args.models, golden, "--quiet", *flags, *args.flags)
    made = bodies(
        args.requests, args.tokens, args.positions, random.Random(1), bool(args.data), args.greedy
    )
    ratios, problems = [], []
    for number in range(args.rounds):
        answers, one = alone(started.port, made, args.seconds)
        before = memory(started.process)
        found, all_, requests, refused = together(
            started.port, made, answers, args.clients, args.seconds / args.rounds, args.exact
        )
        after = memory(started.process)
        problems += found
        ratios.append(all_ / one)
        print(
            f"{one:.0f} tokens/s alone, {all_:.0f} of {args.clients} clients ({all_ / one:.1f} "
            f"times; {requests} requests, {refused} refused; {before >> 20} MiB, then "
            f"{after >> 20} MiB)",
            flush=True,
        )
    status, log = started.stop()
    if status != 0:
        problems.append(f"the server ended with {status}: {log[-2000:]}")
    print("\n".join(problems[:10]))
    print(f"median ratio {statistics.median(ratios):.1f}; {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
