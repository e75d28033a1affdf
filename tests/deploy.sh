#!/usr/bin/env bash
# What stands in deploy/, each file by the tool that reads it; and calls through Viaduct and two Kamailio proxies with
# deploy/kamailio.cfg.
#
# A check whose tool is missing is skipped, or fails where VIADUCT_TEST_PEERS=required. VIADUCT_BINARY is the program to
# run (target/release/viaduct). All traffic is on 127.4.0.0/24 ports 7401 to 7489 and 127.0.0.1:9201 and 9202. Leaves nothing
# behind. The image and its seccomp profile are containers.sh's.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$(realpath -m "${VIADUCT_BINARY:-target/release/viaduct}")
listener=127.4.0.1:7401
admin=127.0.0.1:9201
prometheus=127.0.0.1:9202
gateway=127.4.0.6:7460
proxies=(127.4.0.4:7450 127.4.0.5:7450)
calls=100

main() {
  trap cleanup EXIT
  scratch=$(mktemp -d /tmp/viaduct-deploy.XXXXXX)
  check "kamailio.cfg is one that Kamailio takes" kamailio_config kamailio
  check "kamailio.cfg carries calls behind Viaduct" kamailio_calls kamailio sipp curl "$binary"
  check "prometheus.yml is one that Prometheus takes" prometheus_config promtool
  check "alerts.yaml holds rules that Prometheus takes" alert_rules promtool
  check "alerts.yaml raises its alerts when it should, and not else" alerts promtool
  check "Prometheus scrapes Viaduct, and the board's queries and the rules work on it" scrape prometheus curl jq "$binary"
  check "viaduct.service is a unit that systemd takes" unit systemd-analyze "$binary"
  check "upgrade.conf makes of it a unit that systemd takes" unit_of_two systemd-analyze
  check "viaduct.service is exposed to little" unit_exposure systemd-analyze
  check "viaduct.env holds settings that Viaduct takes" environment "$binary"
  check "compose.yaml is one that Compose takes" compose docker-compose
  check "kubernetes.yaml is one that Kubernetes takes" kubernetes kubernetes-validate
  printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
  ((failed == 0))
}

# --- what is shown ----------------------------------------------------------------------------------------------------

kamailio_config() {
  GATEWAY=$gateway kamailio -c -f deploy/kamailio.cfg
}

kamailio_calls() {
  local proxy
  for proxy in "${proxies[@]}"; do
    mkdir "$scratch/$proxy"
    GATEWAY=$gateway start kamailio -DD -E -m 64 -M 8 -f deploy/kamailio.cfg -l "udp:$proxy" -Y "$scratch/$proxy"
  done
  start sipp -sf tests/deploy/gateway.xml -i "${gateway%:*}" -p "${gateway#*:}" -mi "${gateway%:*}" -mp 7470 -nostdin
  VIADUCT_LISTEN=udp://$listener VIADUCT_ADMIN_LISTEN=$admin VIADUCT_SECRET=0123456789abcdef \
    VIADUCT_BACKENDS="a=udp://${proxies[0]},b=udp://${proxies[1]}" start "$binary"
  eventually curl --silent --fail "http://$admin/readyz"
  timeout 60 sipp -sf tests/deploy/caller.xml "$listener" -i 127.4.0.10 -p 7480 -mi 127.4.0.10 -mp 7482 -m "$calls" \
    -r 50 -timeout 40s -timeout_error -nostdin >"$scratch/caller" 2>&1 || { tail -n 60 "$scratch/caller"; return 1; }
  curl --silent --fail "http://$admin/metrics" | grep '^viaduct_backend_requests_total' | tee "$scratch/requests"
  # Both proxies got calls.
  [[ $(grep -cvE ' 0$' "$scratch/requests") == 2 ]]
}

prometheus_config() {
  promtool check config deploy/prometheus.yml
}

alert_rules() {
  promtool check rules deploy/alerts.yaml
}

alerts() {
  promtool test rules tests/deploy/alerts.test.yaml
}

scrape() {
  VIADUCT_LISTEN=udp://$listener VIADUCT_ADMIN_LISTEN=$admin VIADUCT_SECRET=0123456789abcdef \
    VIADUCT_BACKENDS="a=udp://${proxies[0]},b=udp://${proxies[1]}" start "$binary"
  sed "s/127.0.0.1:9060/$admin/; s/scrape_interval: 5s/scrape_interval: 1s/" deploy/prometheus.yml >"$scratch/prometheus.yml"
  cp deploy/alerts.yaml "$scratch"
  start prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" \
    --web.listen-address="$prometheus" --web.enable-lifecycle
  eventually scraped
  jq -r '.panels[].targets[]?.expr' deploy/grafana.json >"$scratch/queries"
  local query
  while read -r query; do
    query=${query//\$__rate_interval/1m}
    echo "$query"
    asked "query?" --data-urlencode "query=${query//\$instance/.*}" >/dev/null
  done <"$scratch/queries"
  [[ $(wc -l <"$scratch/queries") -gt 20 ]]
  asked rules | jq -e '[.data.groups[].rules[].health] | length > 10 and all(. == "ok" or . == "unknown")'
}

# What is scraped tells of both backends.
scraped() {
  asked "query?" --data-urlencode 'query=up{job="viaduct"} == 1 and on (job) count by (job) (viaduct_backend_up) == 2' |
    jq -e '.data.result | length == 1'
}

asked() {
  local path=$1
  shift
  curl --silent --show-error --fail --get "http://$prometheus/api/v1/$path" "$@"
}

unit() {
  sed "s#^ExecStart=/usr/local/bin/viaduct\$#ExecStart=$binary#" deploy/viaduct.service >"$scratch/viaduct.service"
  grep -F "ExecStart=$binary" "$scratch/viaduct.service"
  systemd-analyze verify "$scratch/viaduct.service" >"$scratch/verify" 2>&1
  cat "$scratch/verify"
  [[ ! -s $scratch/verify ]]
}

unit_of_two() {
  mkdir -p "$scratch/viaduct@.service.d"
  cp "$scratch/viaduct.service" "$scratch/viaduct@.service"
  cp deploy/upgrade.conf "$scratch/viaduct@.service.d/"
  systemd-analyze verify "$scratch/viaduct@.service" >"$scratch/verify" 2>&1
  cat "$scratch/verify"
  [[ ! -s $scratch/verify ]]
}

# The threshold is ten times the exposure level, which is called OK below 5 and is 1.6 here.
unit_exposure() {
  systemd-analyze security --no-pager --offline=true --threshold=20 deploy/viaduct.service
}

environment() {
  grep -E '^VIADUCT_' deploy/viaduct.env | grep -vE '^VIADUCT_(LISTEN|ADMIN_LISTEN)=' >"$scratch/settings"
  # shellcheck disable=SC2016 # the inner shell expands it
  xargs -d '\n' -a "$scratch/settings" sh -c 'exec env "$@" "$0" check' "$binary" \
    VIADUCT_LISTEN="udp://$listener" VIADUCT_SECRET=0123456789abcdef
}

compose() {
  cd deploy
  ADDRESS=192.0.2.10 GATEWAY=198.51.100.5:5060 SECRET=0123456789abcdef docker-compose config
}

kubernetes() {
  kubernetes-validate --strict deploy/kubernetes.yaml
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
    command -v "$tool" >/dev/null || { without "$name" "$tool"; return; }
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
