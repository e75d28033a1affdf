#!/usr/bin/env bash
# Viaduct in real containers, from the runtime stage of deploy/Dockerfile: under the container engine's own seccomp
# profile, which forbids io_uring, and under deploy/seccomp.json, which allows it.
#
# Needs root, podman, buildah, runc, SIPp, curl and jq, and no network. Without one of them it skips, or fails where
# VIADUCT_TEST_PEERS=required. VIADUCT_BINARY is the program to put into the image (target/release/viaduct).
# All traffic is on 127.4.0.0/24 ports 7400 to 7449 and 127.0.0.1:9200. Leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${VIADUCT_BINARY:-target/release/viaduct}
listener=127.4.0.1:7400
admin=127.0.0.1:9200
calls=200
image=localhost/viaduct:containers-test

main() {
  require podman buildah runc sipp curl jq
  [[ $(id -u) == 0 ]] || skip "not root"
  [[ -x $binary ]] || skip "$binary is not there: cargo build --release"
  trap cleanup EXIT
  scratch=$(mktemp -d /tmp/viaduct-containers.XXXXXX)
  build_image
  container run --rm "${common[@]}" "$image" --version >"$scratch/version" 2>&1 ||
    skip "no container can be started here: $(tail -n 1 "$scratch/version")"
  answer_calls 127.4.0.2 7420 7440
  answer_calls 127.4.0.3 7420 7440

  check "the profile means the same to Docker, Podman and containerd" profile_is_plain
  check "a container's own profile leaves the poll engine, says why, and carries calls" default_profile
  check "the project's profile gives io_uring and carries calls" project_profile
  check "where io_uring is demanded, the container's own profile is a refusal that names the remedy" demanded
  check "where locked memory is short, the refusal names the limit" locked_memory
  check "a quota of one CPU makes one shard" quota
  check "a second container takes over from the first in the midst of calls" upgrade
  printf '%d passed, %d failed\n' "$passed" "$failed"
  ((failed == 0))
}

# --- what is shown ----------------------------------------------------------------------------------------------------

# Podman and Docker resolve conditions on capabilities and architectures; containerd, and so Kubernetes, hands the file
# on as it is, where such a condition would be ignored.
profile_is_plain() {
  jq -e '[has("archMap"), (.syscalls[] | has("includes", "excludes", "minKernel"))] | any | not' deploy/seccomp.json
  jq -e '.syscalls | map(select(.action == "SCMP_ACT_ALLOW" and (has("args") | not)).names[]) as $allowed
    | ["io_uring_setup", "io_uring_enter", "io_uring_register"] - $allowed == []' deploy/seccomp.json
}

default_profile() {
  start poll
  carries_calls
  is_confined poll
  container logs poll 2>&1 | grep -F 'the poll engine runs in its place' | grep -F 'seccomp=FILE'
  engines_are poll 1
  ends_well poll
}

project_profile() {
  start uring --security-opt seccomp=deploy/seccomp.json
  carries_calls
  is_confined uring
  container logs uring >"$scratch/log" 2>&1
  absent -F 'WARN' "$scratch/log"
  # No colours where no one looks.
  absent -F $'\e[' "$scratch/log"
  engines_are uring 0
  ends_well uring
}

demanded() {
  refused run --rm "${common[@]}" "${settings[@]}" -e VIADUCT_IO=uring "$image"
  grep -F 'seccomp filter of the container' "$scratch/refusal"
  grep -F -- '--security-opt seccomp=FILE' "$scratch/refusal"
}

locked_memory() {
  refused run --rm "${common[@]}" "${settings[@]}" --security-opt seccomp=deploy/seccomp.json \
    --ulimit memlock=65536:65536 -e VIADUCT_IO=uring "$image"
  grep -F 'RLIMIT_MEMLOCK' "$scratch/refusal"
}

quota() {
  container run --rm "${common[@]}" "${settings[@]}" --cpus 1 "$image" check >"$scratch/quota"
  grep -E '^VIADUCT_SHARDS +1$' "$scratch/quota"
}

# As deploy/README.md has it: the host's network, one user, and a volume with the socket.
upgrade() {
  local meeting=$scratch/meeting
  install -d -o 65532 -g 65532 "$meeting"
  local shared=(--volume "$meeting:/run/viaduct" -e VIADUCT_UPGRADE_SOCKET=/run/viaduct/upgrade)
  start first "${shared[@]}" --security-opt seccomp=deploy/seccomp.json
  call &
  local calling=$!
  sleep 1.5
  # The other engine, under the container engine's own profile.
  container run --detach --name second "${common[@]}" "${settings[@]}" "${shared[@]}" "$image"
  eventually has_ended first
  container logs second 2>&1 | grep -F 'taken over from the Viaduct that ran before'
  wait "$calling" || { explain; return 1; }
  curl --silent --fail "http://$admin/metrics" >"$scratch/metrics"
  (($(sum viaduct_backend_requests_total) > calls))
  [[ $(sum viaduct_messages_dropped_total) == 0 ]]
  engines_are poll 1
  ends_well second
}

# --- parts ------------------------------------------------------------------------------------------------------------

start() {
  local name=$1
  shift
  container run --detach --name "$name" "${common[@]}" "${settings[@]}" "$@" "$image"
  eventually curl --silent --fail "http://$admin/readyz"
}

# Not root, no capability, and under a seccomp filter.
is_confined() {
  local pid
  pid=$(container inspect --format '{{.State.Pid}}' "$1")
  grep -P '^Uid:\t65532\t65532\t65532\t65532$' "/proc/$pid/status"
  grep -P '^CapEff:\t0+$' "/proc/$pid/status"
  grep -P '^Seccomp:\t2$' "/proc/$pid/status"
}

# Twice at most: on a busy machine SIPp's answering side leaves about one run in forty with calls unanswered whose every
# request Viaduct counts as sent on. What Viaduct loses shows again.
carries_calls() {
  call || { explain; call; } || { explain; return 1; }
  curl --silent --fail "http://$admin/metrics" >"$scratch/metrics"
  # INVITE, ACK and BYE of each call; SIPp repeats what is delayed.
  local requests
  requests=$(sum viaduct_backend_requests_total)
  ((requests >= 3 * calls)) || { echo "only $requests requests were sent on"; return 1; }
  [[ $(sum viaduct_messages_dropped_total) == 0 ]]
}

call() {
  timeout 60 sipp -sn uac "$listener" -i 127.4.0.10 -p 7430 -mi 127.4.0.10 -mp 7444 -m "$calls" -r 50 -d 100 \
    -timeout 40s -timeout_error -nostdin >"$scratch/uac" 2>&1
}

# What there is to see where calls failed: the caller's screen, what Viaduct counted, and what waits in sockets.
explain() {
  tail -n 60 "$scratch/uac"
  curl --silent --max-time 5 "http://$admin/metrics" | grep '^viaduct' | grep -v ' 0$' || true
  ss --numeric --udp --all --processes --memory | grep -F -A 1 '127.4.0.' || true
}

# All shards run that engine, and all say whether it is for want of io_uring.
engines_are() {
  local engine=$1 fallback=$2
  grep -E '^viaduct_io_engine_info' "$scratch/metrics" >"$scratch/engines"
  grep -E '^viaduct_io_fallback' "$scratch/metrics" >"$scratch/fallbacks"
  absent -vE "engine=\"$engine\".* 1$" "$scratch/engines"
  absent -vE " $fallback$" "$scratch/fallbacks"
}

ends_well() {
  container stop --time 10 "$1"
  [[ $(container inspect --format '{{.State.ExitCode}}' "$1") == 0 ]]
}

has_ended() {
  [[ $(container inspect --format '{{.State.Status}} {{.State.ExitCode}}' "$1") == "exited 0" ]]
}

# Runs what must end with exit code 1, and keeps what it says.
refused() {
  local code=0
  timeout 30 podman "${store[@]}" "$@" >"$scratch/refusal" 2>&1 || code=$?
  cat "$scratch/refusal"
  [[ $code == 1 ]]
}

# No line matches. A bare `! grep` would not end the shell.
absent() {
  if grep "$@"; then return 1; fi
}

sum() {
  awk -v name="$1" '$1 ~ "^" name "([{]|$)" { sum += $2 } END { print sum + 0 }' "$scratch/metrics"
}

answer_calls() {
  sipp -sn uas -i "$1" -p "$2" -mi "$1" -mp "$3" -nostdin >/dev/null 2>&1 &
  agents+=($!)
}

# The runtime stage as it stands, over a base image of this machine's C library under the base image's name, with the
# program from this machine in the place of the builder stage.
build_image() {
  local context=$scratch/context base file
  base=$(sed -n 's/^FROM \(.*\) AS runtime$/\1/p' deploy/Dockerfile)
  mkdir -p "$context" "$scratch/base/tmp"
  for file in $(ldd "$binary" | grep -o '/[^ ]*'); do
    install -D "$file" "$scratch/base$file"
  done
  store=(--root "$scratch/store" --runroot "$scratch/run")
  tar -C "$scratch/base" -c . | container import - "$base" >/dev/null 2>&1
  install -D "$binary" "$context/viaduct"
  {
    printf 'FROM scratch AS builder\nCOPY viaduct /build/target/release/viaduct\n'
    sed -n '/ AS runtime$/,$p' deploy/Dockerfile
  } >"$context/Dockerfile"
  buildah "${store[@]}" build --pull=never --tag "$image" "$context" >"$scratch/build" 2>&1 ||
    { cat "$scratch/build"; return 1; }
  store+=(--tmpdir "$scratch/libpod" --runtime runc --cgroup-manager cgroupfs)
}

container() {
  podman "${store[@]}" "$@"
}

# --- the frame --------------------------------------------------------------------------------------------------------

scratch=
agents=()
store=()
passed=0
failed=0
# Limits that any machine grants: raising them to podman's own takes a capability that root may lack.
common=(--network host --read-only --cap-drop all --ulimit nofile=4096:4096 --ulimit nproc=1000:1000)
settings=(-e "VIADUCT_LISTEN=udp://$listener" -e "VIADUCT_ADMIN_LISTEN=$admin" -e VIADUCT_SECRET=0123456789abcdef
  -e "VIADUCT_BACKENDS=a=udp://127.4.0.2:7420,b=udp://127.4.0.3:7420")

require() {
  local tool
  for tool; do
    command -v "$tool" >/dev/null || skip "$tool is missing"
  done
}

skip() {
  if [[ ${VIADUCT_TEST_PEERS:-} == required ]]; then
    echo "FAILED: $1, and VIADUCT_TEST_PEERS=required"
    echo "0 passed, 1 failed"
    exit 1
  fi
  echo "SKIPPED: nothing was run in a container: $1"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}

# Runs a function in a shell of its own, where any command that fails ends it.
check() {
  local name=$1 code=0
  set +e
  (set -e; "$2") >"$scratch/output" 2>&1
  code=$?
  set -e
  if ((code == 0)); then
    echo "ok: $name"
    passed=$((passed + 1))
  else
    echo "FAILED: $name"
    sed 's/^/    /' "$scratch/output"
    failed=$((failed + 1))
  fi
  container rm --force --time 0 --all >/dev/null 2>&1 || true
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
  ((${#agents[@]} == 0)) || kill "${agents[@]}" 2>/dev/null || true
  if ((${#store[@]} > 0)); then
    container rm --force --time 0 --all >/dev/null 2>&1 || true
    container umount --all --force >/dev/null 2>&1 || true
  fi
  if [[ -n $scratch ]]; then
    awk -v under="$scratch/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l || true
    rm -rf "$scratch"
  fi
}

main "$@"
