#!/usr/bin/env python3
"""Starts btm serve on a free port and speaks HTTP to it, as clients do that behave and that do not.

Each function test_* is a test; --only TEXT chooses among them.
"""
import argparse
import concurrent.futures
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/golden"
sys.path.insert(0, str(ROOT / "scripts"))
import fuzz_serve  # noqa: E402
import load_serve  # noqa: E402
import served  # noqa: E402

ONE = GOLDEN / "checkpoints/elm_perl/checkpoint_last.pt"
TWO = f"{ONE}:{GOLDEN}/checkpoints/elm_politics/checkpoint_last.pt"
BODY = {"prompt": "To be", "max_tokens": 6, "temperature": 0}


class Running:
    """A server for a test."""

    def __init__(self, programs, *flags, models=ONE, env=None):
        self.server = served.Server(programs, models, GOLDEN, *flags, env=env)
        self.port = self.server.port

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.server.process.poll() is None:
            status, log = self.server.stop()
            assert kind or status == 0, f"status {status}: {log}"

    def ask(self, method, target, body=None, headers=None):
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        text = None if body is None else json.dumps(body)
        client.request(method, target, text, headers or {})
        answer = client.getresponse()
        text = answer.read()
        client.close()
        return (
            answer.status,
            json.loads(text) if answer.headers.get_content_subtype() == "json" else text,
        )

    def complete(self, **more):
        return self.ask("POST", "/v1/completions", {**BODY, **more})

    def metric(self, name):
        text = self.ask("GET", "/metrics")[1].decode()
        return float(text.split(f"\n{name} ")[1].split("\n")[0])

    def wait_for(self, name, value):
        for _ in range(2000):
            if self.metric(name) == value:
                return
            time.sleep(0.05)
        raise AssertionError(f"{name} is {self.metric(name)}, expected {value}")


def raw(port, sent, timeout=30):
    """All that the server answers until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        client.sendall(sent)
        got = b""
        while part := client.recv(65536):
            got += part
    return got


def test_speaks_the_protocol(programs):
    with Running(programs, "--quiet", models=TWO) as server:
        status, answer = server.complete(echo=True, logprobs=1, return_posterior=True)
        assert status == 200 and answer["model"] == "ensemble", answer
        choice = answer["choices"][0]
        assert choice["text"].startswith("To be"), choice
        found = choice["logprobs"]
        assert found["token_logprobs"][0] is None
        for token, score, top in zip(
            found["tokens"][1:], found["token_logprobs"][1:], found["top_logprobs"][1:]
        ):
            assert top[token] == score and score <= max(top.values())
        written = answer["usage"]["completion_tokens"]
        assert all(
            score == max(top.values())
            for score, top in zip(
                found["token_logprobs"][-written:], found["top_logprobs"][-written:]
            )
        )
        assert len(choice["posterior"]["weights"]) == len(found["tokens"])
        names = [model["id"] for model in server.ask("GET", "/v1/models")[1]["data"]]
        assert names == ["ensemble", "elm_perl", "elm_politics"]
        alone = server.complete(model="elm_perl")[1]["choices"][0]["text"]
        assert server.complete(experts=["elm_perl"])[1]["choices"][0]["text"] == alone
        ids = server.ask("POST", "/tokenize", {"prompt": "To be"})[1]["tokens"]
        assert server.ask("POST", "/detokenize", {"tokens": ids})[1]["prompt"] == "To be"
        assert server.complete(prompt=ids)[1]["choices"] == server.complete()[1]["choices"]
        assert server.ask("POST", "/v1/chat/completions", {})[0] == 404
        assert server.ask("GET", "/health") == (200, {"status": "ok"})


def scores_of(choice):
    return choice["logprobs"]["token_logprobs"][1:]


def test_gives_the_scores_of_btm_score(programs):
    """With the first token's left out, which the protocol does not have."""
    text = "The file is read before the program ends"
    for models, flags in ((ONE, []), (TWO, ["--ensemble-type", "uniform_prior"])):
        out = subprocess.run(
            [
                *(str(programs / "btm"), "score", str(models), "-", "--format", "jsonl", "--cpu"),
                *("--data", str(GOLDEN / "data-bin")),
                *("--sentencepiece-model", str(GOLDEN / "corpus/spm.model"), *flags),
            ],
            input=text,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        expected = json.loads(out)
        with Running(programs, "--quiet", *flags, models=models) as server:
            answer = server.complete(prompt=text, max_tokens=0, echo=True, logprobs=1)[1]
            found = scores_of(answer["choices"][0])
            assert len(found) == 8, answer
            for a, b in zip(found, expected["positional_scores"][1:]):
                assert abs(a - b) < 1e-5, (a, b)


def test_answers_many_as_one(programs):
    """Products in bf16 have the same bits whatever is beside; fp32 agrees to the last digits."""
    for flags, exact in ((["--bf16"], True), ([], False)):
        with Running(programs, "--quiet", *flags) as server:
            made = [
                json.loads(body)
                for body in load_serve.bodies(64, 12, 96, fuzz_serve.random.Random(2))
            ]
            with concurrent.futures.ThreadPoolExecutor(64) as pool:
                together = list(
                    pool.map(lambda body: server.ask("POST", "/v1/completions", body), made)
                )
            for body, (status, answer) in zip(made, together):
                alone = server.ask("POST", "/v1/completions", body)[1]
                assert status == 200, answer
                assert load_serve.same(answer["choices"], alone["choices"], exact), (
                    body,
                    answer,
                    alone,
                )


def test_reuses_what_was_read(programs):
    context = "The file is read by the program before the user sees what is in it , and then"
    with Running(programs, "--quiet", "--bf16") as server, Running(
        programs, "--quiet", "--bf16", "--prefixes", "0"
    ) as plain:
        for word in ("it", "the", "all", "it"):
            asked = {"prompt": f"{context} {word}", "echo": True, "logprobs": 2, "max_tokens": 1}
            assert server.complete(**asked)[1]["choices"] == plain.complete(**asked)[1]["choices"]
        assert server.metric("btm_reused_tokens_total") > 40
        assert plain.metric("btm_reused_tokens_total") == 0


def test_notices_clients_that_leave(programs):
    with Running(programs, "--batch-size", "1") as server:
        for stream in (False, True):
            body = json.dumps(
                {**BODY, "max_tokens": 110, "n": 100, "temperature": 1, "stream": stream}
            )
            client = socket.create_connection(("127.0.0.1", server.port))
            client.sendall(fuzz_serve.request(body.encode()))
            if stream:
                client.recv(100)
            client.close()
            server.wait_for("btm_requests_cancelled_total", 1 + stream)
            server.wait_for("btm_jobs", 0)
        log = server.server.stop()[1]
        assert log.count("the client left") == 2, log
        assert "GET /metrics 200" in log


def test_slow_clients_hold_nobody_up(programs):
    with Running(programs, "--quiet", "--read-timeout", "1.5") as server:
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
        for number, client in enumerate(slow):
            client.sendall(fuzz_serve.request(BODY)[: 10 + 5 * number])
        start = time.monotonic()
        assert server.complete()[0] == 200
        assert time.monotonic() - start < 20  # one after the other would take 30
        for client in slow:
            client.settimeout(30)
            got = client.recv(1000)
            assert got.startswith(b"HTTP/1.1 408"), got
            client.close()
        assert raw(server.port, b"") == b""  # says nothing, and is closed


def test_waits_for_nobody_who_reads_its_log(programs):
    with Running(programs) as server:  # nobody reads its log before the end
        asked = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(30):
            last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            got = raw(server.port, 99 * asked + last)
            assert got.count(b"HTTP/1.1 200") == 100, got[-1000:]


def test_answers_in_order(programs):
    with Running(programs, "--quiet") as server:
        last = fuzz_serve.request(BODY, "Connection: close")
        got = raw(server.port, fuzz_serve.request(BODY) + fuzz_serve.request(b"{") + last)
        words = [part.split(b" ")[0] for part in got.split(b"HTTP/1.1 ")[1:]]
        assert words == [b"200", b"400", b"200"], got
        assert b"100 Continue" in raw(
            server.port, fuzz_serve.request(BODY, "Expect: 100-continue", "Connection: close")
        )
        old = raw(server.port, fuzz_serve.request({**BODY, "stream": True}, version="HTTP/1.0"))
        assert b"chunked" not in old and old.endswith(b"data: [DONE]\n\n"), old


def test_ends_gracefully(programs):
    for wanted in (signal.SIGTERM, signal.SIGINT):
        with Running(programs) as server:
            body = {**BODY, "max_tokens": 100, "n": 64, "temperature": 1, "seed": 1}
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                running = [
                    pool.submit(server.ask, "POST", "/v1/completions", body) for _ in range(3)
                ]
                while server.metric("btm_jobs") < 3 and not all(one.done() for one in running):
                    time.sleep(0.01)
                status, log = server.server.stop(wanted)
                assert status == 0, log
                for one in running:
                    assert one.result()[0] == 200, one.result()
            assert f"{wanted.name}: answers running requests, and ends" in log, log
            try:
                server.complete()
            except OSError:
                continue
            raise AssertionError("it still answers")


def test_asks_for_its_key(programs):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "key"
        file.write_text("secret\n")
        for flags, env in ((["--api-key-file", file], {}), ([], {"BTM_API_KEY": "secret"})):
            with Running(programs, *map(str, flags), env=env) as server:
                assert server.complete()[0] == 401
                right = {"Authorization": "Bearer secret"}
                assert server.ask("POST", "/v1/completions", BODY, right)[0] == 200
                assert server.ask("GET", "/health")[0] == 200
                log = server.server.stop()[1]
                assert "secret" not in log, log


def test_refuses_what_is_too_much(programs):
    flags = [
        "--max-queue",
        "2",
        "--batch-size",
        "1",
        "--max-body",
        "2000",
        "--max-connections",
        "50",
    ]
    with Running(programs, "--quiet", *flags) as server:
        long = {**BODY, "max_tokens": 110, "n": 40, "temperature": 1}
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            answers = list(
                pool.map(lambda _: server.ask("POST", "/v1/completions", long), range(40))
            )
        statuses = sorted(status for status, _ in answers)
        assert statuses[0] == 200 and statuses[-1] == 429, statuses
        assert server.complete(prompt="a " * 2000)[0] == 413
        many = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(60)]
        many[-1].settimeout(30)
        assert many[-1].recv(100).startswith(b"HTTP/1.1 503")
        for client in many:
            client.close()


def test_promises_room_in_blocks(programs):
    """19 rows of 50 tokens are fewer than 1,024, but take 76 blocks of 16."""
    with Running(programs, "--quiet", "--cache-tokens", "1024") as server:
        asked = {"prompt": [5, 6], "max_tokens": 47, "temperature": 100, "seed": 1}
        status, answer = server.complete(**asked, n=19)
        assert status == 400 and "needs room" in answer["error"]["message"], answer
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: server.complete(**asked, n=15), range(8)))
        assert [status for status, _ in answers] == [200] * 8, answers


def test_says_that_a_port_is_taken(programs):
    with Running(programs, "--quiet") as server:
        try:
            served.Server(programs, ONE, GOLDEN, "--port", str(server.port))
        except RuntimeError as error:
            assert "Address already in use" in str(error) and str(error).count("\n") == 1, error
            return
    raise AssertionError("two servers listen at one port")


def test_withstands_malformed_requests(programs):
    with Running(programs, "--quiet", "--max-body", "4000000") as server:
        problems = fuzz_serve.check(server.port, 500, 1, server.server.process)
        assert not problems, "\n".join(problems[:10])


def main():
    # A shell starts background jobs with SIGINT ignored, and programs inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    failed = 0
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        if args.only not in name:
            continue
        start = time.monotonic()
        try:
            test(args.bin.resolve())
            print(f"{name}: passed in {time.monotonic() - start:.1f} s", flush=True)
        except Exception as error:
            failed += 1
            print(f"{name}: {type(error).__name__}: {str(error)[:3000]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
