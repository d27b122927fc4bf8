"""Fills a fresh server with one of each thing, and writes their names for `hooks.py`: seed.py URL KEY FILE"""

import hashlib
import hmac
import json
import sys
import time
import urllib.error
import urllib.request

url, key, path = sys.argv[1:]
today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 8 * 3600))


def uuid(number):
    return f"01980000-0000-7000-8000-{number:012d}"


def call(method, at, body=None, headers=None, expect=(200, 201, 204)):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + at, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    if status not in expect:
        sys.exit(f"schemathesis: {method} {at} answered {status}: {text.decode()}")
    return json.loads(text) if text else None


def notify(number, order, amount):
    body = {"notification": f"n-{number}", "order": order, "result": "paid", "amount": amount, "reference": f"wx-{number}",
            "paid_at": f"{today}T00:00:00+08:00"}
    now = int(time.time())
    signed = f"{now}\n".encode() + json.dumps(body).encode()
    signature = hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    call("POST", "/v1/channels/wechat/notifications", body, {"Yue-Channel-Signature": f"ts={now},sig={signature}"})


# Many, since cases freeze and close them.
payers = [f"payers:{number}" for number in range(1, 33)]
users = ["alice", "bob"] + [f"user-{number}" for number in range(1, 33)]
for address, normal, floor in [("treasury:cash", "debit", None), ("shops:7", "credit", "0")] + [(payer, "credit", "-100.00") for payer in payers]:
    call("POST", "/v1/accounts", {"address": address, "asset": "CNY", "normal": normal, "floor": floor})
transfer = {"type": "transfer", "debit": "treasury:cash", "credit": "payers:1", "amount": "1000000.00"}
transfers = [{**transfer, "credit": payer} for payer in payers]
call("POST", "/v1/transactions", {"id": uuid(1), "operations": transfers})
hold = {"type": "hold", "id": uuid(2), "debit": "payers:1", "credit": "shops:7", "amount": "5.00", "expires_in": 2592000}
call("POST", "/v1/transactions", {"id": uuid(3), "operations": [hold]})
spend = {**transfer, "debit": "payers:1", "credit": "shops:7", "amount": "100.00"}
call("POST", "/v1/transactions", {"id": uuid(4), "operations": [spend]})

for user in users:
    call("POST", "/v1/wallets", {"user": user, "class": "III"})
    call("PUT", f"/v1/wallets/{user}/password", {"password": "482913"})
call("PUT", "/v1/wallets/alice/small-payment", {"password": "482913", "enabled": True, "limit": "1000.00", "daily_count": 100})
call("PUT", "/v1/wallets/alice/wealth", {"enabled": True, "keep": "10.00"})
device = call("POST", "/v1/wallets/alice/devices", {"password": "482913", "name": "phone", "algorithm": "ed25519",
              "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="})["device"]
call("PUT", "/v1/merchants/jd-self", {"enabled": True, "kind": "self_operated", "refused_categories": ["gift-card"], "fee_rate": "0.006"})
year = time.gmtime().tm_year
call("POST", "/v1/promotions", {"id": "spring", "name": "spring", "kind": "payment_discount", "rule": {"amount_off": "1.00"},
     "budget": "10000.00", "per_user": 1000, "starts_at": f"{year}-01-01T00:00:00Z", "ends_at": f"{year + 2}-01-01T00:00:00Z",
     "merchants": [], "categories": [], "channels": []})
call("POST", "/v1/recharges", {"id": uuid(11), "user": "alice", "channel": "wechat", "amount": "5000.00"})
notify(1, uuid(11), "5000.00")
call("POST", "/v1/recharges", {"id": uuid(12), "user": "bob", "channel": "wechat", "amount": "50.00"})
item = {"name": "kettle", "kind": "goods", "category": "home", "amount": "59.90"}
call("POST", "/v1/payments", {"id": uuid(13), "user": "alice", "merchant": "jd-self", "items": [item], "auth": {"type": "small"}})
call("POST", f"/v1/payments/{uuid(13)}/refunds", {"id": uuid(14), "amount": "5.00", "reason": "late"})
token = call("POST", "/v1/wallets/alice/payment-tokens", {"password": "482913", "max_amount": "9000.00", "expires_in": 300})["token"]
big = {**item, "amount": "9000.00"}
call("POST", "/v1/payments", {"id": uuid(15), "user": "alice", "merchant": "jd-self", "items": [big],
     "auth": {"type": "token", "token": token}, "combine_with": "wechat"})

known = {
    "channel_key": key,
    "users": users,
    "merchants": ["jd-self"],
    "promotions": ["spring"],
    "accounts": [*payers, "shops:7", "treasury:cash", "customers:alice", "merchants:jd-self", "promos:spring"],
    "prefixes": ["payers", "customers:", "c"],
    "holds": [uuid(2)],
    "transactions": [uuid(1), uuid(3), uuid(4)],
    "orders": [uuid(11), uuid(12), uuid(13), uuid(15)],
    "passwords": ["482913", "739251"],
    "amounts": ["0.01", "1.00", "5.00", "12.34", "59.90", "100.00"],
    "assets": ["CNY", "ECNY", "CARBON"],
    "devices": [device],
    "auths": [{"type": "small"}, {"type": "token", "token": token}],
    "rates": ["0", "0.006", "1"],
    "dates": [today, "2026-06-18"],
    "categories": ["home", "gift-card"],
    "budgets": ["1000.00"],
}
with open(path, "w", encoding="utf-8") as file:
    json.dump(known, file)
