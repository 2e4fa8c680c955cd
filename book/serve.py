"""python book/serve.py FOLDER: serves a folder on this machine alone, and opens it in the browser, until Ctrl-C.

A browser runs no Python in a page that it reads as a file; in one that is served it does.
"""

import functools
import http.server
import sys
import webbrowser

PORT = 8321


class Handler(http.server.SimpleHTTPRequestHandler):
    # Some systems know these endings as something else, and a browser then refuses them.
    extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_):
        pass


def server(folder, port=PORT):
    """A server of the folder on localhost, at the port or, if that is taken, at any."""
    handler = functools.partial(Handler, directory=folder)
    try:
        return http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:
        return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)


if __name__ == "__main__":
    with server(sys.argv[1]) as serving:
        address = f"http://localhost:{serving.server_port}/"
        print(f"The book is at {address} until you press Ctrl-C.", flush=True)
        webbrowser.open(address)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()
