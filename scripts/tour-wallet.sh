#!/bin/bash
# The README's tour of the wallet: each call and its answer, against a fresh server that was started with
# YUE_CHANNEL_KEY_WECHAT=secret: scripts/tour-wallet.sh [URL]
set -euo pipefail
. "$(dirname "$0")/call.sh"


notify() { # notify BODY: signed as the channel signs
  local now signature
  now=$(date +%s)
  signature=$(printf '%s\n%s' "$now" "$1" | openssl dgst -sha256 -hmac secret -r | cut -d ' ' -f 1)
  call -H "Yue-Channel-Signature: ts=$now,sig=$signature" --json "$1" /v1/channels/wechat/notifications
}

echo "## a wallet, a password, a merchant"
call --json '{"user":"alice","class":"III"}' /v1/wallets
call -X PUT --json '{"password":"482913"}' /v1/wallets/alice/password
call -X PUT --json '{"enabled":true,"kind":"self_operated","refused_categories":["gift-card"],"fee_rate":"0"}' /v1/merchants/jd-self
echo "## recharge: the order, then the channel's signed word"
call --json '{"id":"'"$(id 11)"'","user":"alice","channel":"wechat","amount":"100.00"}' /v1/recharges
notify '{"notification":"n-1","order":"'"$(id 11)"'","result":"paid","amount":"100.00","reference":"wx-1","paid_at":"2026-06-18T00:00:00Z"}'
echo "## a payment token, and a payment with it"
token=$(curl --silent --show-error --json '{"password":"482913","max_amount":"100.00","expires_in":300}' \
  "$url/v1/wallets/alice/payment-tokens" | sed 's/.*"token":"\([^"]*\)".*/\1/')
pay='{"id":"'"$(id 12)"'","user":"alice","merchant":"jd-self","items":[
  {"name":"kettle","kind":"goods","category":"home","amount":"59.90"},
  {"name":"delivery","kind":"shipping","category":"delivery","amount":"6.00"}],
  "auth":{"type":"token","token":"TOKEN"}}'
printf '$ curl --json %s $URL/v1/payments\n' "'$pay'"
curl --silent --show-error --json "${pay/TOKEN/$token}" --write-out '\n# %{http_code}\n\n' "$url/v1/payments"
echo "## refund the delivery"
call --json '{"id":"'"$(id 13)"'","amount":"6.00","item":1,"reason":"late"}' "/v1/payments/$(id 12)/refunds"
echo "## where everything is"
call "/v1/payments/$(id 12)"
call /v1/wallets/alice
