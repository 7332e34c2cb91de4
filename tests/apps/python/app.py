"""A unit converter with a small page and a JSON interface."""

import logging
import os
import signal
import sys

from flask import Flask, jsonify, render_template, request
from waitress import create_server

import units

VERSION = "1.0.0"
app = Flask(__name__)


@app.get("/")
def index():
    return render_template("index.html", title=os.environ.get("TITLE", "Converter"), units=sorted(units.FACTORS))


@app.get("/convert")
def convert():
    try:
        value = units.convert(float(request.args["value"]), request.args["from"], request.args["to"])
    except (KeyError, ValueError) as error:
        return jsonify(error=str(error)), 400
    return jsonify(value=value)


@app.get("/healthz")
def health():
    return jsonify(status="ok")


@app.get("/version")
def version():
    return jsonify(app="converter", version=VERSION, title=os.environ.get("TITLE"))


def main():
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    server = create_server(app, host="0.0.0.0", port=int(os.environ.get("PORT", "8000")), threads=8)

    def stop(*_):
        logging.info("converter stops")
        server.close()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    logging.info("converter listens on %s", os.environ.get("PORT", "8000"))
    server.run()


if __name__ == "__main__":
    main()
