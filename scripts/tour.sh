#!/bin/bash
# The README's tour: each call and its answer, against a fresh server: scripts/tour.sh [URL]
set -euo pipefail
. "$(dirname "$0")/call.sh"

hold=01980000-0000-7000-8000-0000000000a1
pay='{"id":"'$(id 2)'","code":"pay","operations":[
  {"type":"transfer","debit":"customers:42","credit":"merchants:jd-self","amount":"59.90"},
  {"type":"transfer","debit":"customers:42","credit":"merchants:jd-self","amount":"6.00","code":"shipping"}]}'

echo "## open accounts: a channel's receivable, a customer, a merchant"
call --json '{"address":"channels:wechat","asset":"CNY","normal":"debit"}' /v1/accounts
call --json '{"address":"customers:42","asset":"CNY"}' /v1/accounts
call --json '{"address":"merchants:jd-self","asset":"CNY"}' /v1/accounts
echo "## recharge"
call --json '{"id":"'$(id 1)'","operations":[{"type":"transfer","debit":"channels:wechat","credit":"customers:42","amount":"100.00"}]}' /v1/transactions
echo "## pay goods and shipping"
call --json "$pay" /v1/transactions
echo "## the same again: the first outcome"
call --json "$pay" /v1/transactions
echo "## the same id with another body"
call --json "${pay/59.90/59.91}" /v1/transactions
echo "## hold, look, capture a part"
call --json '{"id":"'$(id 3)'","operations":[{"type":"hold","id":"'$hold'","debit":"customers:42","credit":"merchants:jd-self","amount":"20.00","expires_in":900}]}' /v1/transactions
call /v1/accounts/customers:42
call --json '{"id":"'$(id 4)'","operations":[{"type":"capture","hold":"'$hold'","amount":"15.00"}]}' /v1/transactions
echo "## refund the shipping"
call --json '{"id":"'$(id 5)'","operations":[{"type":"reverse","transaction":"'$(id 2)'","operation":1}]}' /v1/transactions
echo "## more than there is"
call --json '{"id":"'$(id 6)'","operations":[{"type":"transfer","debit":"customers:42","credit":"merchants:jd-self","amount":"1000"}]}' /v1/transactions
echo "## history and trial balance"
call "/v1/accounts/customers:42/history?limit=2"
call /v1/trial-balance
