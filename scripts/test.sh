#!/usr/bin/env bash
# Every check and every test. Needs cargo, Node.js with npm, and Python 3; on Debian and as root it installs the rest.
# TEST_DATABASE_URL: a PostgreSQL to test on instead of a throw-away one.
# CHROMIUM: the browser to test the pages in, /usr/bin/chromium by default.
set -euo pipefail
cd "$(dirname "$0")/.."

export CHROMIUM="${CHROMIUM:-/usr/bin/chromium}"
scratch="$(mktemp -d)"
postgres_bin=""
status=0

step() { printf '\n== %s\n' "$*"; }

find_postgres() {
  local initdb
  initdb="$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -n 1 || true)"
  initdb="${initdb:-$(command -v initdb || true)}"
  postgres_bin="${initdb:+$(dirname "$(readlink -f "$initdb")")}"
}

# PostgreSQL refuses to run as root
as_postgres() {
  if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

clean_up() {
  if [ -f "$scratch/postgres/data/postmaster.pid" ]; then
    as_postgres "$postgres_bin/pg_ctl" --pgdata "$scratch/postgres/data" --mode immediate stop >/dev/null || true
  fi
  rm -rf "$scratch"
}
trap clean_up EXIT

install_missing() {
  local missing=()
  [ -x "$CHROMIUM" ] || missing+=(chromium)
  # Debian packs what makes a virtual environment apart from Python itself
  python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
  if [ -z "${TEST_DATABASE_URL:-}" ]; then
    find_postgres
    [ -n "$postgres_bin" ] || missing+=(postgresql)
  fi
  PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null || missing+=(pgbouncer)
  [ "${#missing[@]}" -gt 0 ] || return 0
  step "install ${missing[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    echo "please install: ${missing[*]}" >&2
    exit 1
  fi
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
  find_postgres
}

start_postgres() {
  [ -z "${TEST_DATABASE_URL:-}" ] || return 0
  step "start a throw-away PostgreSQL"
  local home="$scratch/postgres" port
  mkdir "$home"
  if [ "$(id -u)" -eq 0 ]; then
    chmod 711 "$scratch"
    chown postgres "$home"
  fi
  port="$(node -e 'const s = net.createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })')"
  (
    cd "$home"
    as_postgres "$postgres_bin/initdb" --pgdata "$home/data" --username mcptap --auth trust \
      --encoding UTF8 --locale C.UTF-8 --no-sync >/dev/null
    # nothing in it outlives the tests, so nothing needs to reach the disk
    as_postgres "$postgres_bin/pg_ctl" --pgdata "$home/data" --log "$home/log" --wait start >/dev/null --options \
      "-c listen_addresses=127.0.0.1 -c port=$port -c unix_socket_directories=$home -c max_connections=500 \
       -c fsync=off -c full_page_writes=off"
  ) || { cat "$home/log" >&2; exit 1; }
  export TEST_DATABASE_URL="postgres://mcptap@127.0.0.1:$port/postgres"
  "$postgres_bin/postgres" --version
}

install_missing
start_postgres
# a test that cannot reach PostgreSQL fails and is not skipped
export MCPTAP_REQUIRE_POSTGRES=1
# neither is one that cannot start PgBouncer
export TEST_PGBOUNCER="${TEST_PGBOUNCER:-pgbouncer}"

step "dashboard: check and build"
# first, so that the binary is built once, with these pages in it
(cd dashboard && npm ci && npm run check && npm run build)

step "formatting"
cargo fmt --all --check

step "who may depend on whom"
node scripts/arrows.mjs
if command -v cargo-deny >/dev/null; then cargo deny check bans licenses sources; fi

step "clippy"
cargo clippy --workspace --all-targets --locked -- -D warnings
# the SDK with less than everything: a server over stdio, and a layer without rmcp
for features in "" rmcp http rmcp,http,tls,logs; do
  cargo clippy -p mcptap-sdk --locked --no-default-features --features "$features" -- -D warnings
done

step "what the SDK is packaged as"
cargo package -p mcptap-model -p mcptap-sdk --no-verify --locked --allow-dirty --quiet
# What it promised is what was published last; before the first release there is nothing to compare with.
if cargo info mcptap-sdk --registry crates-io >/dev/null 2>&1; then
  cargo semver-checks --version >/dev/null 2>&1 || cargo install --locked cargo-semver-checks
  cargo semver-checks -p mcptap-model -p mcptap-sdk
fi

step "tests"
cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$scratch/cargo.log" \
  || node scripts/again.mjs cargo "$scratch/cargo.log" 2>&1 | tee "$scratch/cargo_again.log" || status=1

step "tests of the pages in a browser"
binary="$(realpath -m "${CARGO_TARGET_DIR:-target}")/debug/mcptap"
# a busy machine makes a browser late now and then: a test that passes when it is run again is named at the end
# (not through a pipe: what a failed test leaves running would hold it open)
(cd dashboard && MCPTAP_BIN="$binary" npm test -- --retry=1 --reporter=verbose --reporter=json --outputFile.json="$scratch/pages.json") \
  > >(tee "$scratch/pages.log") || status=1

step "official clients and servers"
target="$(realpath -m "${CARGO_TARGET_DIR:-target}")"
# Made of a list of packages: kept between runs, made anew when what it must hold changes.
make_venv() {
  local venv="$1" requirements="$2" wanted
  wanted="$(cat "$requirements" <(python3 --version) | sha256sum)"
  [ "$(cat "$venv/holds" 2>/dev/null)" != "$wanted" ] || return 0
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
  echo "$wanted" > "$venv/holds"
}
venv="$target/peers/venv"
# the libraries before MCP 2026-07-28
handshake="$target/peers/venv-handshake"
(
  set -e
  make_venv "$venv" tests/peers/requirements.txt
  make_venv "$handshake" tests/peers/requirements-handshake.txt
  node sdk/tables/generate.mjs --check
  (cd sdk/python && "$venv/bin/python" -m pytest -q -p no:cacheprovider && "$handshake/bin/python" -m pytest -q -p no:cacheprovider) \
    | tee "$scratch/pytest.log"
  # it is built by that
  (cd sdk/typescript && npm ci)
  (cd examples/typescript_server && npm ci)
  (cd examples/graphql_clients && npm ci)
  cargo build --locked --examples
  cd tests/peers
  npm ci
  MCPTAP_BIN="$binary" PEERS_PYTHON="$venv/bin/python" PEERS_HANDSHAKE_PYTHON="$handshake/bin/python" node --test --test-concurrency=2 \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$scratch/peers.tap" tests/*.test.mjs ../../sdk/typescript/tests/*.test.mjs \
    || MCPTAP_BIN="$binary" PEERS_PYTHON="$venv/bin/python" PEERS_HANDSHAKE_PYTHON="$handshake/bin/python" \
      node ../../scripts/again.mjs node "$scratch/peers.tap" | tee "$scratch/peers_again.log"
) || status=1

node - "$scratch" <<'EOF'
const { existsSync, readFileSync } = require("node:fs");
const scratch = process.argv[2];
let passed = 0;
let failed = 0;
let skipped = 0;
const results = /^test result: .* (\d+) passed; (\d+) failed; (\d+) ignored;/gm;
for (const [, ok, bad, ignored] of readFileSync(`${scratch}/cargo.log`, "utf8").matchAll(results)) {
  passed += Number(ok);
  failed += Number(bad);
  skipped += Number(ignored);
}
if (existsSync(`${scratch}/pages.json`)) {
  const pages = JSON.parse(readFileSync(`${scratch}/pages.json`, "utf8"));
  passed += pages.numPassedTests;
  failed += pages.numFailedTests;
  skipped += pages.numPendingTests;
}
if (existsSync(`${scratch}/pytest.log`)) {
  for (const [, count, what] of readFileSync(`${scratch}/pytest.log`, "utf8").matchAll(/^.*?(\d+) (passed|failed|skipped|error)/gm)) {
    if (what === "passed") passed += Number(count);
    else if (what === "skipped") skipped += Number(count);
    else failed += Number(count);
  }
}
if (existsSync(`${scratch}/peers.tap`)) {
  const peers = readFileSync(`${scratch}/peers.tap`, "utf8");
  const count = (what) => Number(peers.match(new RegExp(`^# ${what} (\\d+)$`, "m"))?.[1] ?? 0);
  passed += count("pass");
  failed += count("fail") + count("cancelled");
  skipped += count("skipped") + count("todo");
}
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
const read = (name) => (existsSync(`${scratch}/${name}`) ? readFileSync(`${scratch}/${name}`, "utf8") : "");
for (const name of ["cargo_again.log", "peers_again.log"]) {
  for (const [line] of read(name).matchAll(/^FLAKY, .*/gm)) console.log(line);
}
// coloured where a terminal, or CI, wants it so
const plain = read("pages.log").replace(/\x1b\[[0-9;]*m/g, "");
for (const [, test] of plain.matchAll(/✓ (.*) \(retry x\d+\)/g)) console.log(`FLAKY, passed when run again: ${test}`);
EOF
[ "$status" -eq 0 ] || echo "some tests failed or did not run" >&2
exit "$status"
