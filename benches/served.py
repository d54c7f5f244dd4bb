"""A running `tessera serve`, for whoever measures it."""

import pathlib
import re
import subprocess
import sys
import time
import urllib.request


class Server:
    """A server of a project, on free ports; what it logs is in a file."""

    def __init__(self, tessera, project, log):
        command = [tessera, "--project", str(project), "serve", "--address", "127.0.0.1:0", "--http-address", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(log, "wb"), text=True)
        lines = self.process.stdout.readline() + self.process.stdout.readline()
        found = re.search(r"on (127\.0\.0\.1:\d+)\n.*(http://127\.0\.0\.1:\d+)", lines)
        if not found:
            sys.exit(f"the server does not serve; see {log}")
        self.address, self.http = found[1], found[2]
        started = time.monotonic()
        while not self.is_ready():
            time.sleep(0.1)
        self.ready_seconds = time.monotonic() - started

    def is_ready(self):
        try:
            return urllib.request.urlopen(self.http + "/ready", timeout=10).status == 200
        except OSError:
            return False

    def memory_mib(self, most=False):
        """What it holds now, or the most that it ever held."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{'VmHWM' if most else 'VmRSS'}:\s+(\d+) kB", status)[1]) / 1024

    def end(self):
        self.process.terminate()
        if self.process.wait(60) != 0:
            sys.exit(f"the server ended with {self.process.returncode}")
