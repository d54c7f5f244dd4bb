"""An object store in memory, on a free port, that can be told how to fail."""

import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

HELD_SECONDS = 5


def environment(port):
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "tessera-test",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
    }


class Answers(BaseHTTPRequestHandler):
    """What a `SmallStore` answers: enough of S3 to hold a lake."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer is one write: two would wait for each other's acknowledgement
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def key(self):
        return unquote(urlsplit(self.path).path).removeprefix("/lake").lstrip("/")

    def parse_request(self):
        """Whether there is a request to answer."""
        is_request = super().parse_request()
        if is_request and self.server.is_busy:
            self.close_connection = True
            self.answer(503, b"<Error><Code>SlowDown</Code></Error>")
        return is_request and not self.server.is_busy

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def no_such_key(self):
        self.answer(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>", Content_Type="application/xml")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        store = self.server
        with store.lock:
            if store.holds_conditions and self.headers.get("If-None-Match") == "*" and self.key() in store.objects:
                return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            store.objects[self.key()] = (body, time.time())
            is_held = self.key() in store.held
            store.held.discard(self.key())
        if is_held:
            time.sleep(HELD_SECONDS)
        self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in query:
            return self.list(query)
        if self.key() not in self.server.objects:
            return self.no_such_key()
        body, at = self.server.objects[self.key()]
        headers = {"ETag": f'"{hashlib.md5(body).hexdigest()}"', "Last_Modified": self.date_time_string(at)}
        wanted = self.headers.get("Range")
        if not wanted:
            return self.answer(200, body, **headers)
        first, last = wanted.removeprefix("bytes=").split("-")
        start = int(first) if first else max(len(body) - int(last), 0)
        part = body[start : int(last) + 1 if first and last else len(body)]
        self.answer(206, part, Content_Range=f"bytes {start}-{start + len(part) - 1}/{len(body)}", **headers)

    def do_HEAD(self):
        if self.key() not in self.server.objects:
            return self.no_such_key()
        body, at = self.server.objects[self.key()]
        self.answer(200, Content_Length=str(len(body)), ETag=f'"{hashlib.md5(body).hexdigest()}"', Last_Modified=self.date_time_string(at))

    def do_DELETE(self):
        self.server.objects.pop(self.key(), None)
        self.answer(204)

    def do_POST(self):
        """Only the deletion of many."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = [part.split("</Key>")[0] for part in body.split("<Key>")[1:]]
        for key in keys:
            self.server.objects.pop(key, None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode(), Content_Type="application/xml")

    def list(self, query):
        prefix = query.get("prefix", [""])[0]
        delimiter = query.get("delimiter", [""])[0]
        after = query.get("start-after", [""])[0]
        contents, folders = [], set()
        for key, (body, at) in sorted(self.server.objects.items()):
            if not key.startswith(prefix) or key <= after:
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                folders.add(prefix + key[len(prefix) :].split(delimiter)[0] + delimiter)
                continue
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
            contents.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{modified}</LastModified><ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag>"
                f"<Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            )
        folders = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders))
        body = f"<ListBucketResult><Name>lake</Name><IsTruncated>false</IsTruncated>{''.join(contents)}{folders}</ListBucketResult>"
        self.answer(200, body.encode(), Content_Type="application/xml")


class SmallStore(ThreadingHTTPServer):
    """A store of `objects`, each with its time. It knows `If-None-Match` only if it `holds_conditions`, refuses everything
    while it `is_busy`, and answers the first write of each of the `held` keys `HELD_SECONDS` after it was done."""

    daemon_threads = True

    def __init__(self, answers=Answers, holds_conditions=True):
        super().__init__(("127.0.0.1", 0), answers)
        self.lock = threading.Lock()
        self.objects, self.held = {}, set()
        self.holds_conditions, self.is_busy = holds_conditions, False


@contextlib.contextmanager
def storing(store):
    """The store, answering for the length of a `with`."""
    threading.Thread(target=store.serve_forever, daemon=True).start()
    try:
        yield store
    finally:
        store.shutdown()
        store.server_close()
