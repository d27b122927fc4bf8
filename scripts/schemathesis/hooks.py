"""What schemathesis can't know: names that lead to something, and how a channel signs.

Half of the valid cases are led to accounts, wallets, merchants and orders that exist (scripts/schemathesis.sh makes
them, see `seed.py`), so that more is reached than refusals of unknown names. The choice follows from the case alone: a
seed replays. Invalid cases stay as they were made.
"""

import hashlib
import hmac
import json
import os
import time
import zlib

import hypothesis
import requests
import schemathesis

# Hill climbing towards cases that are taken: it spends nine tenths of the time on cases that it never sends.
hypothesis.target = lambda *_arguments, **_named: None

with open(os.environ["YUE_KNOWN"], encoding="utf-8") as known:
    KNOWN = json.load(known)

# The names of fields and parameters, and what may stand there.
NAMES = {
    "user": "users",
    "to": "users",
    "merchant": "merchants",
    "promotion": "promotions",
    "debit": "accounts",
    "credit": "accounts",
    "address": "accounts",
    "prefix": "prefixes",
    "hold": "holds",
    "transaction": "transactions",
    "order": "orders",
    "password": "passwords",
    "old_password": "passwords",
    "amount": "amounts",
    "asset": "assets",
    "floor": "amounts",
    "limit": "amounts",
    "device": "devices",
    "auth": "auths",
    "fee_rate": "rates",
    "income_per_10k": "rates",
    "date": "dates",
    "category": "categories",
    "budget": "budgets",
}
# `{id}` of a path is of another kind on each.
IDS = {"payments": "orders", "recharges": "orders", "transactions": "transactions", "holds": "holds", "promotions": "promotions"}


class Choice:
    """Numbers that follow from a text."""

    def __init__(self, text):
        self.text, self.count = text, 0

    def below(self, bound):
        self.count += 1
        return zlib.crc32(f"{self.count} {self.text}".encode("utf-8", "replace")) % bound

    def of(self, values):
        return values[self.below(len(values))]


def known(choice, kind, value):
    return choice.of(KNOWN[kind]) if choice.below(4) else value


def lead(choice, value, inside=""):
    """The body with known names in it."""
    if isinstance(value, list):
        return [lead(choice, element, inside) for element in value]
    if not isinstance(value, dict):
        return value
    led = {}
    for name, field in value.items():
        kind = NAMES.get(name)
        if kind and field is not None and not (kind == "amounts" and not isinstance(field, str)):
            led[name] = known(choice, kind, field)
        else:
            led[name] = lead(choice, field, name)
    return led


@schemathesis.hook
def map_case(context, case):
    positive = case.meta is not None and all(component.mode.is_positive for component in case.meta.components.values())
    choice = Choice(repr((case.method, case.path, case.path_parameters, case.query, case.body)))
    if not positive or choice.below(2):
        return case
    if case.path_parameters:
        for name, value in dict(case.path_parameters).items():
            kind = IDS.get(case.path.split("/")[2]) if name == "id" else NAMES.get(name)
            if kind:
                case.path_parameters[name] = known(choice, kind, value)
    if isinstance(case.body, (dict, list)):
        case.body = lead(choice, case.body)
    elif case.path.endswith("/statements"):
        rows = [f"{choice.of(KNOWN['orders'])},r{choice.below(9)},{choice.of(KNOWN['amounts'])},{choice.of(KNOWN['dates'])}T01:02:03Z"]
        case.body = "order,reference,amount,at\n" + "\n".join(rows * choice.below(3)) + "\n"
        case.headers["Yue-Statement-Date"] = choice.of(KNOWN["dates"])
    return case


class Signs(requests.auth.AuthBase):
    """Signs as a channel does, when the bytes are known."""

    def __init__(self, key):
        self.key = key.encode()

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        now = int(time.time())
        signature = hmac.new(self.key, f"{now}\n".encode() + body, hashlib.sha256).hexdigest()
        request.headers["Yue-Channel-Signature"] = f"ts={now},sig={signature}"
        return request


# Milliseconds that a call gets at the least.
PATIENCE_MS = 60_000


def be_patient(headers):
    """A deadline that leaves no time is 503 by the contract, whatever the call (the contract's own tests try that)."""
    deadline = headers.get("Yue-Deadline-Ms")
    if isinstance(deadline, str) and deadline.isascii() and deadline.isdigit() and int(deadline) < PATIENCE_MS:
        headers["Yue-Deadline-Ms"] = str(PATIENCE_MS)


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers:
        be_patient(case.headers)
    if not case.path.endswith("/notifications") or zlib.crc32(repr(case.body).encode("utf-8", "replace")) % 4 == 0:
        return
    if "Yue-Channel-Signature" in (case.headers or {}):  # absent where its absence is what is tried
        kwargs["auth"] = Signs(KNOWN["channel_key"])
