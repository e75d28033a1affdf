//! What an operator meets: a wrong setting is told by its variable, its value and what would be right, with exit code 2.

use std::process::{Command, Output};

fn viaduct(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viaduct"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("VIADUCT_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_wrong_setting_names_the_variable_the_value_and_what_would_be_right() {
    let cases = [
        ("VIADUCT_LISTEN", "sctp://0.0.0.0:5060", "transport://address:port"),
        ("VIADUCT_LISTEN", "udp://0.0.0.0:5060;advertise=0.0.0.0:5060", "nobody can reach"),
        ("VIADUCT_LISTEN", "udp://192.0.2.77:5060", "an address of this machine"),
        ("VIADUCT_LISTEN", "tcp://192.0.2.77:5060", "an address of this machine"),
        ("VIADUCT_LISTEN", "tls://0.0.0.0:5061;client-certificates=yes", "ignored, optional, required"),
        ("VIADUCT_LISTEN", "tcp://127.0.0.1:7,tcp://127.0.0.1:7", "stands twice"),
        ("VIADUCT_BACKENDS", "10.0.0.1:5060", "[name=]transport://host:port"),
        ("VIADUCT_BACKENDS_FILE", "/no/such/file", "a readable file"),
        ("VIADUCT_DNS_HOLD_S", "-1", "up to a day"),
        ("VIADUCT_BACKENDS", "udp://10.0.0.1:5060;weight=9999", "weight= and a number from 0 to 1000"),
        ("VIADUCT_BACKENDS", "udp://10.0.0.1:5060,udp://10.0.0.1:5060", "each name and each address once"),
        ("VIADUCT_BACKENDS", "udp://10.0.0.1:5060,tcp://10.0.0.1:5060", "each name and each address once"),
        ("VIADUCT_BACKENDS", "udp://[2001:db8::1]:5060", "an IPv6 listener"),
        ("VIADUCT_BACKENDS", "tcp://10.0.0.1:5060", "an IPv4 listener tcp:// in VIADUCT_LISTEN"),
        ("VIADUCT_BACKENDS", "tcp://no-such-host.invalid:5060", "a listener tcp:// in VIADUCT_LISTEN"),
        ("VIADUCT_BACKENDS", "udp://a.invalid:5060;also=tcp", "a listener tcp:// in VIADUCT_LISTEN"),
        ("VIADUCT_BACKENDS", "udp://no-such-host.invalid:5060", "a name that resolves here"),
        ("VIADUCT_TRUSTED", "inside", "10.0.0.0/8"),
        ("VIADUCT_RESOLVERS", "ns.example:53", "a comma list of address:port"),
        ("VIADUCT_RESOLVERS", "127.0.0.1", "a comma list of address:port"),
        ("VIADUCT_SHARDS", "0", "shards"),
        ("VIADUCT_PIN_CORES", "maybe", "true, false"),
        ("VIADUCT_IO", "dpdk", "auto, uring, poll"),
        ("VIADUCT_RECEIVE_BUFFERS", "500", "power of two"),
        ("VIADUCT_CONNECTIONS_MAX", "0", "from 1 to 1048576"),
        ("VIADUCT_CONNECTION_IDLE_S", "5", "from 10 to 86400"),
        ("VIADUCT_CONNECT_TIMEOUT_MS", "3s", "from 10 to 120000"),
        ("VIADUCT_MESSAGE_TIMEOUT_S", "0", "from 1 to 600"),
        ("VIADUCT_BACKEND_CONNECTIONS", "17", "from 1 to 16"),
        ("VIADUCT_GRACE_S", "3601", "up to 3600"),
        ("VIADUCT_DRAIN_IDLE_MS", "a while", "up to 3600000"),
        ("VIADUCT_DRAIN_OPTIONS", "200", "503, silence"),
        ("VIADUCT_DRAIN_NEW_REQUESTS", "drop", "forward, 503"),
        ("VIADUCT_DRAIN_RETRY_AFTER_S", "0", "from 1 to 3600"),
        ("VIADUCT_QUEUE_BYTES", "65536", "from 131072 to 16777216"),
        ("VIADUCT_TCP_KEEPALIVE_S", "-1", "0 is never"),
        ("VIADUCT_TCP_USER_TIMEOUT_MS", "3600001", "up to 3600000"),
        ("VIADUCT_TCP_NODELAY", "yes", "on, off"),
        ("VIADUCT_ADMIN_LISTEN", "9060", "/metrics"),
        ("VIADUCT_LOG_FORMAT", "xml", "text, json"),
        ("VIADUCT_LOG", "warning", "off, error, warn"),
        ("VIADUCT_SECRET", "brief", "openssl rand -hex 16"),
        ("VIADUCT_SECRET_FILE", "/no/such/file", "a readable file"),
        ("VIADUCT_TABLE_SECRET_FILE", "/no/such/file", "a readable file"),
        ("VIADUCT_SECRETS_ACCEPTED", "brief", "16 bytes each"),
        ("VIADUCT_HASH", "INVITE=request-uri", "call-id, to-uri"),
        ("VIADUCT_HASH", "CANCEL=source", "follows the rule of INVITE"),
        ("VIADUCT_PATH", "maybe", "off, on, auto"),
        ("VIADUCT_LOST_PIN", "410", "rehash, 481"),
        ("VIADUCT_LOG_PROBLEMS_PER_SECOND", "many", "up to 1000"),
        ("VIADUCT_HEP", "tls://homer.example:9061", "udp://host:port or tcp://host:port"),
        ("VIADUCT_HEP_SAMPLE", "10%", "from 0 to 1"),
        ("VIADUCT_HEP_BODIES", "none", "on, off"),
    ];
    for (variable, value, right) in cases {
        let output = viaduct(&["check"], &[(variable, value)]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variable}={value}: {error}");
        assert!(error.contains(variable), "{variable}={value} is not named: {error}");
        assert!(error.contains(right), "{variable}={value} does not say {right}: {error}");
        let shown = variable.starts_with("VIADUCT_SECRET") && value == "brief"
            || error.contains(value.split([',', ';']).next().unwrap());
        assert!(shown, "{variable}={value} is not shown: {error}");
        assert!(!error.contains("brief"), "a secret is never shown: {error}");
    }
}

#[test]
fn check_prints_what_is_in_effect() {
    let secret = ("VIADUCT_SECRET", "0123456789abcdef");
    let backends = ("VIADUCT_BACKENDS", "a=udp://127.0.0.2:5060;weight=3,b=udp://127.0.0.3:5060");
    let listen = ("VIADUCT_LISTEN", "udp://127.0.0.1:0");
    let output = viaduct(&["check"], &[secret, backends, listen]);
    let (shown, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{error}");
    for expected in ["udp://127.0.0.1:", "a=udp://127.0.0.2:5060;weight=3 (7", "VIADUCT_IO ", "config digest"] {
        assert!(shown.contains(expected), "{expected} is missing in:\n{shown}");
    }
    assert!(!shown.contains("0123456789abcdef") && !error.contains("0123456789abcdef"), "a secret is never shown");
}

#[test]
fn a_key_for_the_collector_that_cannot_be_read_ends_the_start() {
    let collector = ("VIADUCT_HEP", "udp://127.0.0.1:9");
    for command in [&["check"][..], &[]] {
        let output = viaduct(command, &[collector, ("VIADUCT_HEP_KEY_FILE", "/no/such/file")]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("VIADUCT_HEP_KEY_FILE") && error.contains("/no/such/file"), "{error}");
    }
}

#[test]
fn check_prints_what_goes_over_tcp_and_how() {
    let variables = [
        ("VIADUCT_SECRET", "0123456789abcdef"),
        ("VIADUCT_LISTEN", "udp://127.0.0.1:0,tcp://127.0.0.1:0"),
        ("VIADUCT_BACKENDS", "a=tcp://127.0.0.2:5060,b=udp://127.0.0.3:5060"),
        ("VIADUCT_CONNECTIONS_MAX", "1048576"),
        ("VIADUCT_TCP_NODELAY", "off"),
    ];
    let output = viaduct(&["check"], &variables);
    let (shown, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{error}");
    let expected = ["udp://127.0.0.1:", "tcp://127.0.0.1:", "a=tcp://127.0.0.2:5060;", "b=udp://127.0.0.3:5060;"];
    for expected in expected {
        assert!(shown.contains(expected), "{expected} is missing in:\n{shown}");
    }
    let value = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or("missing");
    assert_eq!((value("VIADUCT_CONNECTIONS_MAX"), value("VIADUCT_TCP_NODELAY")), ("1048576", "off"));
    assert_eq!((value("VIADUCT_QUEUE_BYTES"), value("VIADUCT_CONNECTION_IDLE_S")), ("262144", "600"));
    let shards: usize = value("VIADUCT_SHARDS").parse().unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let is_short = limit < (1 << 20) + 128 + 6 * shards as u64;
    assert_eq!(error.contains("RLIMIT_NOFILE"), is_short, "a limit of {limit}: {error}");
}

#[test]
fn help_names_every_variable() {
    let help = text(&viaduct(&["--help"], &[]).stdout);
    assert!(help.starts_with("A stateless SIP load balancer."), "{help}");
    for variable in [
        "LISTEN",
        "BACKENDS",
        "TRUSTED",
        "RESOLVERS",
        "SECRET",
        "SECRET_FILE",
        "SHARDS",
        "PIN_CORES",
        "IO",
        "CONNECTIONS_MAX",
        "CONNECTION_IDLE_S",
        "CONNECT_TIMEOUT_MS",
        "MESSAGE_TIMEOUT_S",
        "BACKEND_CONNECTIONS",
        "QUEUE_BYTES",
        "TCP_KEEPALIVE_S",
        "TCP_USER_TIMEOUT_MS",
        "TCP_NODELAY",
        "ADMIN_LISTEN",
        "LOG",
    ] {
        assert!(help.contains(&format!("VIADUCT_{variable}")), "{variable} is missing in:\n{help}");
    }
}

#[test]
fn without_a_secret_it_says_what_that_means() {
    let output = viaduct(&["check"], &[("VIADUCT_LISTEN", "udp://127.0.0.1:0")]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("VIADUCT_SECRET"));
}
