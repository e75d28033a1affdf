#!/usr/bin/env bash
# The admin listener of the real program, by tools that know nothing of it: schemathesis holds the API to its description, and a
# headless Chromium reads the status page and drains a backend there.
#
# A check whose tool is missing is skipped, or fails where VIADUCT_TEST_PEERS=required. VIADUCT_BINARY is the program to run
# (target/release/viaduct), VIADUCT_PICTURE where the picture of the status page is put, if anywhere: that of the README is made by
# VIADUCT_PICTURE=deploy/status.png. All traffic is on 127.5.0.0/24 and 127.0.0.1:9202. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath -m "${VIADUCT_BINARY:-target/release/viaduct}")
admin=127.0.0.1:9202
token=0123456789abcdef0123456789abcdef

main() {
  trap cleanup EXIT
  scratch=$(mktemp -d /tmp/viaduct-admin.XXXXXX)
  check "the API is what its description says" described schemathesis curl "$binary"
  check "the status page shows the pool and drains a backend" page node chromium curl "$binary" tests/peers/webrtc/node_modules/playwright-core/package.json
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0))
}

# --- what is shown ----------------------------------------------------------------------------------------------------

# schemathesis makes up bodies and headers, but is told which backends there are: names that it makes up are none. What an entry, a
# filter or a message means no description tells, so one that is well-formed and makes no sense may be refused by 422. A
# backend that was removed is shown while it leaves, so that it is there after its removal is right. What ends Viaduct is left out.
described() {
  start_viaduct
  cat >"$scratch/schemathesis.toml" <<'END'
[parameters]
name = "kam-1"
source = "192.0.2.1:5060"
local = "192.0.2.2"
listener = 0

[checks.use_after_free]
enabled = false

[[operations]]
include-name = "POST /api/drain"
enabled = false

[[operations]]
include-name = "DELETE /api/backends/{name}"
parameters = { name = "kam-2" }
END
  local operation
  for operation in "POST /api/backends" "POST /api/preview" "POST /api/explain" "PUT /api/log"; do
    cat >>"$scratch/schemathesis.toml" <<END

[[operations]]
include-name = "$operation"
checks = { positive_data_acceptance = { expected-statuses = ["2xx", "404", "409", "422"] } }
END
  done
  # It leaves files of its own where it runs.
  (cd "$scratch" && schemathesis --config-file schemathesis.toml run "http://$admin/api/openapi.json" --checks all --max-examples 40 \
    --seed 1 --header "Authorization: Bearer $token")
  curl --silent --fail "http://$admin/livez"
}

# The demo has calls under way, so there is something to see.
page() {
  VIADUCT_ADMIN_LISTEN=$admin VIADUCT_ADMIN_TOKEN=$token VIADUCT_SHARDS=2 start "$binary" demo --calls-per-second 100
  eventually curl --silent --fail "http://$admin/readyz"
  node tests/admin/page.mjs "http://$admin/" "$token" bravo "$scratch/status.png"
  [[ -z ${VIADUCT_PICTURE:-} ]] || cp "$scratch/status.png" "$VIADUCT_PICTURE"
}

start_viaduct() {
  VIADUCT_LISTEN=udp://127.5.0.1:7501 VIADUCT_ADMIN_LISTEN=$admin VIADUCT_ADMIN_TOKEN=$token VIADUCT_SECRET=0123456789abcdef \
    VIADUCT_BACKENDS=kam-1=udp://127.5.0.2:5060,kam-2=udp://127.5.0.3:5060,kam-3=udp://127.5.0.4:5060 VIADUCT_LOG=error start "$binary"
  eventually curl --silent --fail "http://$admin/readyz"
}

# --- the frame --------------------------------------------------------------------------------------------------------

scratch=
passed=0
failed=0
skipped=0

# Runs a function in a shell of its own, where any command that fails ends it, if the tools named after it are there.
check() {
  local name=$1 function=$2 tool code=0
  shift 2
  for tool; do
    command -v "$tool" >/dev/null || [[ -f $tool ]] || { without "$name" "$tool"; return; }
  done
  set +e
  (set -e; "$function") >"$scratch/output" 2>&1
  code=$?
  set -e
  stop_started
  if ((code == 0)); then
    echo "ok: $name"
    passed=$((passed + 1))
  else
    echo "FAILED: $name"
    sed 's/^/    /' "$scratch/output"
    failed=$((failed + 1))
  fi
}

without() {
  if [[ ${VIADUCT_TEST_PEERS:-} == required ]]; then
    echo "FAILED: $1: $2 is missing, and VIADUCT_TEST_PEERS=required"
    failed=$((failed + 1))
  else
    echo "SKIPPED: $1: $2 is missing"
    skipped=$((skipped + 1))
  fi
}

start() {
  "$@" >>"$scratch/started" 2>&1 &
  echo $! >>"$scratch/pids"
}

stop_started() {
  [[ -f $scratch/pids ]] || return 0
  xargs -r kill <"$scratch/pids" 2>/dev/null || true
  local pid
  while read -r pid; do
    eventually test ! -d "/proc/$pid" || kill -KILL "$pid" 2>/dev/null || true
  done <"$scratch/pids"
  rm -f "$scratch/pids"
}

eventually() {
  local attempt
  for ((attempt = 0; attempt < 100; attempt++)); do
    "$@" && return
    sleep 0.1
  done
  return 1
}

cleanup() {
  if [[ -n $scratch ]]; then
    stop_started
    rm -rf "$scratch"
  fi
}

main "$@"
