"""A receiver of notifications that verifies them with the library of Standard Webhooks.

    python webhook.py access-tokens

Starts the demo with a webhook, lets a customer forget a pass code, and refuses the first attempt. Exits with 0 only if each attempt is
verified, and nothing that was changed on the way is.
"""

import base64
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from standardwebhooks import Webhook, WebhookVerificationError

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Receiver(http.server.BaseHTTPRequestHandler):
    attempts = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.attempts.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(503 if len(self.attempts) == 1 else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as held:
        return held.getsockname()[1]


def call(port, path, **body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/{path}", json.dumps(body).encode())
    with direct.open(request, timeout=30) as answer:
        return json.load(answer).get("data")


def until(condition, what):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.05)


def verified(secret, headers, body):
    try:
        return Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return None


def check(binary, secret, library_secret, receiver):
    Receiver.attempts.clear()
    http_port, ops = free_port(), free_port()
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "DATABASE__URL": "sqlite://demo.db", "GRPC__LISTEN": f"127.0.0.1:{free_port()}",
            "HTTP__LISTEN": f"127.0.0.1:{http_port}", "OPS__LISTEN": f"127.0.0.1:{ops}",
            "NOTIFICATIONS__WEBHOOK": f"http://127.0.0.1:{receiver}/hooks", "NOTIFICATIONS__SECRET": secret,
        }
        given = {name: value for name, value in os.environ.items() if not name.startswith("ACCESS_TOKENS__")}
        given |= {f"ACCESS_TOKENS__{name}": value for name, value in settings.items()}
        server = subprocess.Popen([binary, "serve", "--demo"], cwd=directory, env=given,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            healthcheck = [binary, "healthcheck"]
            until(lambda: subprocess.run(healthcheck, env=given, capture_output=True).returncode == 0, "the server is ready")
            token = call(http_port, "authentication/token", username="demo", password="demo-demo-demo", organisation="DEMO")["token"]
            call(http_port, "access_tokens/forgot_pass_code", token=token, identifier="250")
            until(lambda: len(Receiver.attempts) == 2, "two attempts")
        finally:
            server.terminate()
            assert server.wait(30) == 0
    first, second = Receiver.attempts
    assert first[0]["webhook-id"] == second[0]["webhook-id"], "one id for one delivery"
    assert first[1] == second[1], "one body"
    for headers, body in (first, second):
        message = verified(library_secret, headers, body)
        assert message and message["kind"] == "PASS_CODE_FORGOTTEN", headers
        assert headers["x-access-tokens-signature"].startswith(f"t={headers['webhook-timestamp']},v1="), headers
        other = "whsec_" + base64.b64encode(b"x" * 32).decode()
        assert verified(other, headers, body) is None, "another secret"
        assert verified(library_secret, headers, body.replace(b"250", b"251")) is None, "another body"
        for name, value in (("webhook-id", "another"), ("webhook-timestamp", str(int(headers["webhook-timestamp"]) - 1))):
            assert verified(library_secret, headers | {name: value}, body) is None, f"another {name}"
        old = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 3600)}
        assert verified(library_secret, old, body) is None, "an hour ago"


def main(binary):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    receiver = server.server_address[1]
    generated = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    check(binary, generated, generated, receiver)
    text = "a text of at least 32 bytes, as before"
    check(binary, text, "whsec_" + base64.b64encode(text.encode()).decode(), receiver)
    print("standard webhooks: every attempt is verified")


main(os.path.abspath(sys.argv[1]))
