"""Asks btm serve with OpenAI's Python client, and checks what the client makes of the answers."""
import argparse
import json
import pathlib
import sys
import time
import urllib.request

import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import served  # noqa: E402

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests/golden"
MODELS = ":".join(
    str(GOLDEN / f"checkpoints/elm_{name}/checkpoint_last.pt") for name in ("perl", "politics")
)
ASKED = {"model": "ensemble", "prompt": "To be", "max_tokens": 12}


def plain(client):
    answer = client.completions.create(**ASKED, temperature=0)
    assert answer.object == "text_completion" and len(answer.choices) == 1
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.completion_tokens == 12 and answer.usage.prompt_tokens > 0
    return answer.choices[0].text


def streamed(client):
    text, usage = "", None
    options = {"include_usage": True}
    stream = client.completions.create(**ASKED, temperature=0, stream=True, stream_options=options)
    for part in stream:
        text += "".join(choice.text for choice in part.choices)
        usage = part.usage or usage
    assert text == plain(client), text
    assert usage.completion_tokens == 12


def log_probabilities(client):
    answer = client.completions.create(**ASKED, temperature=0, logprobs=3, echo=True)
    found = answer.choices[0].logprobs
    assert found.token_logprobs[0] is None and found.top_logprobs[0] is None
    for token, score, top, offset in zip(
        *(found.tokens[1:], found.token_logprobs[1:]),
        *(found.top_logprobs[1:],),
        found.text_offset[1:],
    ):
        assert top[token] == score and 3 <= len(top) <= 4 and offset >= 0
    text = answer.choices[0].text
    assert text.startswith("To be") and found.text_offset[-1] <= len(text)


def several(client):
    answer = client.completions.create(**ASKED, n=3, best_of=5, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.text for choice in answer.choices}) == 3
    prompts = {**ASKED, "prompt": ["To be", "The file"]}
    assert len(client.completions.create(**prompts, n=2).choices) == 4
    ids = {**ASKED, "prompt": [[5, 6, 7], [8]]}
    assert len(client.completions.create(**ids).choices) == 2


def stops(client):
    text = plain(client)
    stop = text[len(text) // 2 :][:3]
    many = [stop, "zz1", "zz2", "zz3", "zz4", "zz5"]
    answer = client.completions.create(**ASKED, temperature=0, stop=many)
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def seeds(client):
    def text(seed):
        return client.completions.create(**ASKED, seed=seed, temperature=1.2).choices[0].text

    assert text(1) == text(1) and text(1) != text(2)


def models(client):
    names = [model.id for model in client.models.list()]
    assert names == ["ensemble", "elm_perl", "elm_politics"], names
    assert client.models.retrieve("elm_perl").id == "elm_perl"
    client.completions.create(**{**ASKED, "model": "elm_perl"})


def mixtures(client):
    extra = {"experts": {"elm_perl": 3, "elm_politics": 1}, "return_posterior": True}
    answer = client.completions.create(**ASKED, extra_body=extra | {"posterior": "full"})
    posterior = answer.choices[0].model_extra["posterior"]
    assert posterior["experts"] == ["elm_perl", "elm_politics"]
    assert all(abs(sum(weights) - 1) < 1e-4 for weights in posterior["weights"])


def expect(kind, call, param=None):
    try:
        call()
    except kind as error:
        assert error.param == param, error
        return
    raise AssertionError(f"expected {kind.__name__}")


def errors(client):
    create = client.completions.create
    bad = openai.BadRequestError
    expect(bad, lambda: create(**ASKED, suffix="x"), "suffix")
    expect(bad, lambda: create(**ASKED, logit_bias={"5": 1}), "logit_bias")
    expect(bad, lambda: create(**ASKED, presence_penalty=1), "presence_penalty")
    expect(bad, lambda: create(**{**ASKED, "max_tokens": 5000}), "prompt")
    expect(openai.NotFoundError, lambda: create(**{**ASKED, "model": "x"}), "model")
    expect(openai.NotFoundError, lambda: client.models.retrieve("x"), "model")
    chat = {"model": "ensemble", "messages": [{"role": "user", "content": "a"}]}
    expect(openai.NotFoundError, lambda: client.chat.completions.create(**chat))
    stranger = client.with_options(api_key="wrong", max_retries=0)
    expect(openai.AuthenticationError, lambda: stranger.models.list())
    create(**ASKED, presence_penalty=0, frequency_penalty=0, logit_bias={}, user="me")


def aborted(client, root, key):
    long = {**ASKED, "max_tokens": 100}
    with client.completions.create(**long, stream=True, logprobs=5, n=64) as stream:
        next(iter(stream))
    asked = urllib.request.Request(f"{root}/metrics", headers={"Authorization": f"Bearer {key}"})
    for _ in range(100):
        text = urllib.request.urlopen(asked).read().decode()
        if "btm_requests_cancelled_total 1\n" in text and "btm_jobs 0\n" in text:
            return
        time.sleep(0.1)
    raise AssertionError("the stream was not given up: " + text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=pathlib.Path)
    args = parser.parse_args()
    key = "the-key"
    started = served.Server(args.bin, MODELS, GOLDEN, "--quiet", env={"BTM_API_KEY": key})
    client = openai.OpenAI(base_url=f"{started.root}/v1", api_key=key, max_retries=0, timeout=60)
    try:
        for check in (plain, streamed, log_probabilities, several, stops, seeds, models, mixtures):
            check(client)
            print(f"{check.__name__}: as expected", flush=True)
        errors(client)
        print("errors: as expected", flush=True)
        aborted(client, started.root, key)
        print("an aborted stream: as expected", flush=True)
    finally:
        status, log = started.stop()
    assert status == 0, log
    print(json.dumps({"openai": openai.__version__, "result": "all as expected"}))


if __name__ == "__main__":
    main()
