"""A receiver of notifications for tests: keeps the bytes of each request and answers as told."""
import http.server
import ssl
import threading
import time


class Receiver:
    """An HTTP server on a free port. `answers` are statuses for the next requests with a body, then 200;
    `validation` is that of empty ones."""

    def __init__(self, certificate=None):
        self.requests, self.answers, self.validation, self.seconds = [], [], 200, 0.0
        self.arrived = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self._chunks() if self.headers.get("Transfer-Encoding") else self.rfile.read(int(
                    self.headers.get("Content-Length", 0)))
                status = receiver.take(self, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", receiver.url + "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def _chunks(self):
                found = b""
                while size := int(self.rfile.readline(), 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return found

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size, daemon_threads = 128, True

            def handle_error(self, *_):
                pass
        self.server = Server(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server.server_address[1]}/exact/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def take(self, handler, body):
        """Record a request; the status to answer, None to hang up without one."""
        if self.seconds and body:
            time.sleep(self.seconds)
        with self.arrived:
            status = self.validation if not body else self.answers.pop(0) if self.answers else 200
            self.requests.append({"path": handler.path, "headers": dict(handler.headers), "body": body,
                                  "status": status, "version": handler.request_version,
                                  "from": handler.client_address})
            self.arrived.notify_all()
        return status

    @property
    def bodies(self):
        """Bodies of all requests that had one, in order of arrival."""
        with self.arrived:
            return [r["body"] for r in self.requests if r["body"]]

    def wait(self, count, timeout=20):
        """Wait until so many requests with a body came."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.bodies) >= count,
                                         timeout), f"{len(self.bodies)} of {count} came"
        return self.bodies

    def clear(self):
        with self.arrived:
            self.requests.clear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
