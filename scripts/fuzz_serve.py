#!/usr/bin/env python3
"""Sends malformed requests to btm serve, and holds it to their right answers.

Exit 1 with a line for each wrong answer. Between the requests it asks for a completion, whose
answer must stay the same and come within 30 seconds.
"""
import argparse
import http.client
import json
import pathlib
import random
import socket
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import served  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"
GOOD = {"prompt": "To be", "max_tokens": 4, "temperature": 0, "logprobs": 1, "echo": True}
TIMEOUT = 30
CLOSED = 0  # no answer: the connection is closed

WRONG = {
    "prompt": [5, 1.5, True, {}, [], [None], ["a", 1], [[["a"]]], [10**30], [-1], [1], [99999]],
    "max_tokens": [-1, 1.5, "5", [], 10**30, True, 1000],
    "temperature": [-1, "a", [], 1e-300, 1e300],
    "top_p": [-1, 2, "a", {}],
    "n": [0, -1, 1.5, 1000, "1"],
    "best_of": [0, 1000, []],
    "stop": ["", 5, {}, [""], [5], ["a"] * 100, ["a" * 5000]],
    "seed": ["a", 1.5, [], 10**30],
    "logprobs": [-1, 1000, True, "a"],
    "echo": [1, "true", []],
    "stream": [1, "true"],
    "stream_options": [1, [], {"include_usage": 1}],
    "suffix": ["a", 5],
    "logit_bias": [{"5": 1}],
    "presence_penalty": [1, "a"],
    "model": [5, [], {}],
    "posterior": ["full", 5],
    "experts": [["a"], 5, {"a": 1}],
}


def request(body, *headers, method="POST", target="/v1/completions", version="HTTP/1.1"):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {target} {version}", "Host: localhost", *headers]
    if not any(line.lower().startswith(("content-length", "transfer")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def mutated(body, chance):
    """A body with some bytes changed, removed or repeated."""
    body = bytearray(body)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(body) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            body[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 4)))
        elif kind == 1:
            del body[at : at + chance.randrange(1, 9)]
        elif kind == 2:
            body[at:at] = body[chance.randrange(len(body) + 1) :][:20]
        elif at < len(body):
            body[at] = chance.randrange(256)
    return bytes(body)


def wrong_field(chance):
    name = chance.choice(sorted(WRONG))
    value = chance.choice(WRONG[name])
    return request({**GOOD, name: value}), {400, 404}


def deep(chance):
    depth = chance.choice((600, 10**4, 10**6))
    opening = chance.choice(("[", '{"a":', '{"prompt":['))
    return request((opening * depth)[: 4 * 10**6].encode()), {400}


def number(chance):
    text = chance.choice(("1e999", "-1e999", "9" * 5000, "0x10", "NaN", "Infinity", "01", "1."))
    return request(b'{"prompt": "a", "max_tokens": ' + text.encode() + b"}"), {400}


def cut_body(chance):
    whole = request(GOOD)
    return whole[: -chance.randrange(1, 30)], {400}


def cut_header(chance):
    whole = request(GOOD)
    return whole[: chance.randrange(1, whole.index(b"\r\n\r\n"))], {400}


def large_header(chance):
    name = chance.choice(("X-Large", "Cookie", "Authorization"))
    return request(GOOD, f"{name}: " + "a" * chance.choice((40000, 10**6))), {431}


def many_headers(chance):
    return request(GOOD, *(f"X-{i}: a" for i in range(chance.choice((5000, 50000))))), {431}


def long_target(chance):
    return request(b"", method="GET", target="/" + "a" * chance.choice((8000, 10**6))), {404, 431}


def large_body(chance):
    if chance.random() < 0.5:
        return request(b"x", f"Content-Length: {10**chance.randrange(8, 18)}"), {413}
    return (request(b"1000000\r\n" + b"a" * 2**20, "Transfer-Encoding: chunked"), {413, 400})


def wrong_length(chance):
    value = chance.choice(("-1", "abc", "1e3", "99999999999999999999", "5, 5", "0x5", ""))
    return request(b"hello", f"Content-Length: {value}"), {400, 413}


def wrong_chunks(chance):
    body = chance.choice(
        (b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n", b"5;;\r\nhelloworld", b"\r\n")
    )
    return request(body, "Transfer-Encoding: chunked"), {400}


def wrong_line(chance):
    line = chance.choice(
        (
            b"GET /\r\n",
            b"GET\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"/ HTTP/1.1\r\n\r\n",
        )
        + (b"GET /  HTTP/1.1\r\n\r\n", b"G\x00T / HTTP/1.1\r\n\r\n", b"POST\t/ HTTP/1.1\r\n\r\n")
        + (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    )
    return line, {400}


def noise(chance):
    return bytes(chance.randrange(256) for _ in range(chance.randrange(1, 2000))), {400, 431}


def foreign_bytes(chance):
    text = chance.choice(
        (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x82")
    )
    return request(b'{"prompt": "' + text + b'"}'), {400}


def surrogate(chance):
    text = chance.choice((rb"\ud800", rb"\udc00", rb"\ud800A", rb"\u12", rb"\x"))
    return request(b'{"prompt": "' + text + b'"}'), {400}


def mutation(chance):
    return request(mutated(json.dumps(GOOD).encode(), chance)), {200, 400, 404}


def wrong_place(chance):
    method = chance.choice(("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "BREW"))
    target = chance.choice(("/v1/completions", "/v1/models", "/../../etc/passwd", "/v1/models/%00"))
    target = chance.choice((target, "/v1/models/" + "%2e%2e%2f" * 9, "//", "http://other/", "*"))
    return request(b"", method=method, target=target), {200, 400, 404, 405}


def two_together(chance):
    """Two requests in one packet: the answer to the first one comes first."""
    return request(b"{", "X-First: 1") + request(GOOD), {400}


KINDS = (
    *(wrong_field, deep, number, cut_body, cut_header, large_header, many_headers, long_target),
    *(large_body, wrong_length, wrong_chunks, wrong_line, noise, foreign_bytes, surrogate),
    *(mutation, wrong_place, two_together),
)


def answer_to(port, sent, chance):
    """The status, or CLOSED. The client ends its half of the connection behind the request."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as client:
        try:
            cut = chance.randrange(len(sent) + 1) if chance.random() < 0.3 else len(sent)
            client.sendall(sent[:cut])
            client.sendall(sent[cut:])
            if b" HTTP/1.1\r\n" not in sent or not complete(sent):
                client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all was sent
        got = b""
        try:
            while b"\r\n" not in got:
                part = client.recv(65536)
                if not part:
                    break
                got += part
        except ConnectionError:
            pass
    if not got:
        return CLOSED
    words = got.split(b"\r\n", 1)[0].split(b" ")
    return int(words[1]) if words[0] == b"HTTP/1.1" and words[1].isdigit() else -1


def complete(sent):
    """Whether the request has its whole body, so that the connection stays open for the answer."""
    head, _, body = sent.partition(b"\r\n\r\n")
    length = next((line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")), b"")
    value = length.partition(b": ")[2]
    return value.isdigit() and len(body) >= int(value)


def good_answer(port):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("POST", "/v1/completions", json.dumps(GOOD))
    answer = json.loads(client.getresponse().read())
    client.close()
    return answer["choices"]


def check(port, count, seed, process):
    """The problems that `count` requests have shown."""
    chance = random.Random(seed)
    expected = good_answer(port)
    problems = []
    for number_ in range(count):
        kind = KINDS[number_ % len(KINDS)]
        sent, allowed = kind(chance)
        try:
            status = answer_to(port, sent, chance)
        except OSError as error:
            status = f"{type(error).__name__}: {error}"
        if status not in allowed:
            problems.append(f"{kind.__name__}: {status}, expected {allowed}: {sent[:120]!r}")
        if number_ % 50 == 0 and good_answer(port) != expected:
            problems.append(f"after {kind.__name__} a completion has another answer")
        if process.poll() is not None:
            problems.append(f"the server ended with {process.returncode} after {kind.__name__}")
            break
    return problems


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", default=ROOT / "build/bin", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    model = GOLDEN / "checkpoints/elm_perl/checkpoint_last.pt"
    started = served.Server(args.bin, model, GOLDEN, "--quiet", "--max-body", "4000000")
    problems = check(started.port, args.count, args.seed, started.process)
    status, log = started.stop()
    if status != 0:
        problems.append(f"the server ended with {status}: {log[-2000:]}")
    print("\n".join(problems + [f"{args.count} requests, {len(problems)} wrong answers"]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
