# What the README's tours share; sourced. `url` is the server's.
#
#   call [CURL OPTIONS] PATH   prints the call as in the README, and the answer with its status
#   id N                       the tours' N-th id

url=${1:-http://127.0.0.1:8080}

call() {
  local path=${*: -1} options=("${@:1:$#-1}") shown=""
  for option in "${options[@]}"; do case $option in -*) shown+=" $option" ;; *) shown+=" '$option'" ;; esac; done
  printf '$ curl%s $URL%s\n' "$shown" "$path"
  curl --silent --show-error "${options[@]}" --write-out '\n# %{http_code}\n\n' "$url$path"
}

id() { printf '01980000-0000-7000-8000-%012d' "$1"; }
