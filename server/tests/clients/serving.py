"""A server of a project, on free ports, for the length of a `with`."""

import contextlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

STARTED_SECONDS = 60
ENDED_SECONDS = 60


class Server:
    """A running `tessera serve`."""

    def __init__(self, process, address, http):
        self.process, self.address, self.http = process, address, http

    def get(self, path):
        """Status and body of an HTTP answer."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def wait_until_ready(self):
        wait_for(lambda: self.get("/ready")[0] == 200, "the server is ready")

    def end(self, by=signal.SIGTERM):
        """Ends the server; returns its exit code."""
        self.process.send_signal(by)
        return self.process.wait(ENDED_SECONDS)


def wait_for(condition, what, seconds=STARTED_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def serving(project, *arguments):
    """Serves a project; what it printed as errors must hold no panic."""
    command = project.command("serve", "--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0", *arguments)
    with open(project.folder / "serve.log", "wb") as log:
        process = subprocess.Popen(command, env=project.env, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        lines = [process.stdout.readline(), process.stdout.readline()]
        found = re.search(r"on (127\.0\.0\.1:\d+)\n.*(http://127\.0\.0\.1:\d+)", "".join(lines))
        assert found, f"{lines} {(project.folder / 'serve.log').read_text()}"
        yield Server(process, found[1], found[2])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(ENDED_SECONDS)
        assert "panicked" not in (project.folder / "serve.log").read_text()
